"""What one chunk of a completions stream tells: ids, a piece of text, the first token's distribution."""

import math
from collections.abc import Sequence

from specreason.engines.dialects import Dialect, Json, inner
from specreason.engines.protocol import Piece


def piece(dialect: Dialect, choice: Json, chunk: Json) -> Piece:
    """One streamed choice of a chunk as a piece."""
    ids = dialect.read_ids(choice, chunk)
    told = inner(choice, "logprobs")
    logprobs: Sequence[float] = told.get("token_logprobs") or [
        token["logprob"] for token in told.get("content") or ()
    ]
    return Piece(choice.get("text") or "", None if ids is None else tuple(ids), tuple(logprobs) or None)


def first_distribution(choice: Json) -> list[tuple[str, float]]:
    """Texts and log-probabilities of the first token, in either of the two shapes that servers use.

    Completions shape: `top_logprobs` is a list of {text: logprob}. Chat shape (llama-server): `content` is a
    list of tokens, each with `top_logprobs`.
    """
    told = inner(choice, "logprobs")
    if top := told.get("top_logprobs"):
        return [(str(text), float(logprob)) for text, logprob in top[0].items()]
    if content := told.get("content"):
        return [(str(t["token"]), float(t["logprob"])) for t in content[0]["top_logprobs"]]
    return []


def log_sum(a: float | None, b: float) -> float:
    """The logarithm of the sum of two probabilities, told by their logarithms; None is zero."""
    return b if a is None else max(a, b) + math.log1p(math.exp(-abs(a - b)))
