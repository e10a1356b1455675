"""What one chunk of a completions stream tells: ids, a piece of text, the first token's distribution."""

import math
from collections.abc import Sequence

from specreason.engines.dialects import Dialect, Json, inner
from specreason.engines.protocol import Piece


def pieces(dialect: Dialect, choice: Json, chunk: Json) -> list[Piece]:
    """One streamed choice of a chunk, token by token where the server tells their texts.

    A server puts several tokens into one chunk if it speculates, or if they come faster than they are read.
    A step may end at any of them. What ends the text is no part of it: a stopped choice may tell its id.
    """
    ids = dialect.read_ids(choice, chunk)
    told = inner(choice, "logprobs")
    content: Sequence[Json] = told.get("content") or ()
    logprobs: Sequence[float] = told.get("token_logprobs") or [token["logprob"] for token in content]
    texts: Sequence[str] = told.get("tokens") or [token["token"] for token in content]
    text = choice.get("text") or ""
    whole = [Piece(text, None if ids is None else tuple(ids), tuple(logprobs) or None)]
    if ids is None or not len(ids) == len(texts) == len(logprobs) > 1:
        return whole
    apart: list[Piece] = []
    for token, number, logprob in zip(texts, ids, logprobs, strict=True):
        if text.startswith(token):
            apart.append(Piece(token, (number,), (logprob,)))
            text = text.removeprefix(token)
        elif text:
            return whole  # half a character, or a token that is kept from the text
        elif choice.get("finish_reason") != "stop":
            apart.append(Piece("", (number,), (logprob,)))
    return whole if text else apart


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
