"""What one chunk of a completions stream tells: ids, a piece of text, the first token's distribution.

Nothing here raises, whatever a chunk holds: what is not of the right kind is not there.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import cast

from specreason.engines.dialects import Dialect
from specreason.engines.protocol import Finish, Piece, Usage
from specreason.engines.reading import (
    Json,
    count,
    inner,
    listed,
    log_probability,
    objects,
    text,
    whole_characters,
)

_TOO_LONG = frozenset({"length", "max_tokens", "max_length", "max_new_tokens", "model_length"})
_GAVE_UP = frozenset({"abort", "aborted", "cancelled", "canceled", "cancel", "error", "failed", "timeout"})
_REFUSED = frozenset({"content_filter", "content_filtered", "safety", "recitation", "refusal", "blocked"})
_BYTE = re.compile(r"<0x([0-7][0-9A-Fa-f])>")


def pieces(dialect: Dialect, choice: Json, chunk: Json) -> list[Piece]:
    """One streamed choice of a chunk, token by token where the server tells their texts.

    A server puts several tokens into one chunk if it speculates, or if they come faster than they are read.
    A step may end at any of them. What ends the text is no part of it: a stopped choice may tell its id.
    """
    ids = dialect.read_ids(choice, chunk)
    logprobs = inner(choice, "logprobs")
    content = objects(logprobs, "content")
    texts = [text(token) for token in listed(logprobs, "tokens") or [token.get("token") for token in content]]
    values = listed(logprobs, "token_logprobs") or [token.get("logprob") for token in content]
    said = text(choice.get("text"))
    whole = [Piece(said, None if ids is None else tuple(ids), _finite(values))]
    if ids is None or not len(ids) == len(texts) == len(values) > 1:
        return whole
    apart: list[Piece] = []
    for token, number, value in zip(texts, ids, values, strict=True):
        if said.startswith(token):
            apart.append(Piece(token, (number,), _finite([value])))
            said = said.removeprefix(token)
        elif said:
            return whole  # half a character, or a token that is kept from the text
        elif choice.get("finish_reason") != "stop":
            apart.append(Piece("", (number,), _finite([value])))
    return whole if said else apart


def choices(chunk: Json, held: list[str]) -> list[Json]:
    """The choices of a chunk, their texts in whole characters.

    Half a character (of a pair) at the end of a text is kept in `held` and goes before the next one.
    """
    found: list[Json] = []
    for choice in objects(chunk, "choices"):
        raw = choice.get("text")
        said = "".join(held) + (raw if isinstance(raw, str) else "")
        held.clear()
        if said and "\ud800" <= said[-1] <= "\udbff":
            held.append(said[-1])
            said = said[:-1]
        found.append(
            {**choice, "text": whole_characters(said)} if said != raw or not said.isascii() else choice
        )
    return found


def finish(choice: Json) -> tuple[Finish | None, str]:
    """Why the text of a choice ends, None if it goes on; and the server's word for an end that is a failure.

    Servers have many words for a natural end; only those for other ends are kept apart.
    """
    word = text(choice.get("finish_reason"))
    known = word.lower().rpartition(".")[2]
    if known in _TOO_LONG:
        return "length", ""
    return (None, word) if known in _GAVE_UP or known in _REFUSED else ("stop" if word else None, "")


def is_refusal(word: str) -> bool:
    """Whether a server's word for an end says that it will not write this, now or later."""
    return word.lower().rpartition(".")[2] in _REFUSED


def usage(chunk: Json) -> tuple[int | None, int | None]:
    """Tokens of the prompt and of the completion, None where the server does not give them."""
    counts = inner(chunk, "usage")
    return count(counts.get("prompt_tokens")), count(counts.get("completion_tokens"))


def grown(account: Usage, dialect: Dialect, chunk: Json, choices: Sequence[Json]) -> Usage:
    """The account of a call after one more chunk, with these `choices`."""
    seen = account.generated_tokens
    for choice in choices:
        ids = dialect.read_ids(choice, chunk)
        seen += len(ids) if ids is not None else bool(choice.get("text"))
    prompt_tokens, generated = usage(chunk)
    prefill, decode = dialect.read_timings(chunk)
    cached = dialect.read_cached(chunk)
    drafts, drafts_kept = dialect.read_token_drafts(chunk)
    return Usage(
        prompt_tokens=prompt_tokens or account.prompt_tokens,
        cached_tokens=account.cached_tokens if cached is None else cached,
        generated_tokens=generated or seen,
        prefill_s=account.prefill_s if prefill is None else prefill,
        decode_s=account.decode_s if decode is None else decode,
        token_drafts=account.token_drafts if drafts is None else drafts,
        token_drafts_kept=account.token_drafts_kept if drafts_kept is None else drafts_kept,
    )


def first_distribution(choice: Json) -> list[tuple[str, float]]:
    """Texts and log-probabilities of the first token, in either of the two shapes that servers use.

    Completions shape: `top_logprobs` is a list of {text: logprob}. Chat shape (llama-server): `content` is a
    list of tokens, each with `top_logprobs`.
    """
    logprobs = inner(choice, "logprobs")
    top, content = listed(logprobs, "top_logprobs")[:1], listed(logprobs, "content")[:1]
    likeliest: list[tuple[str, float]] = []
    for entry in top:
        if isinstance(entry, Mapping):
            pairs = cast("Json", entry).items()
            likeliest = [(_spelled(text(token)), log_probability(value)) for token, value in pairs]
    for entry in content if not top else ():
        if isinstance(entry, Mapping):
            tokens = objects(cast("Json", entry), "top_logprobs")
            likeliest = [(_spelled(text(t.get("token"))), log_probability(t.get("logprob"))) for t in tokens]
    return likeliest if any(math.isfinite(logprob) for _, logprob in likeliest) else []


def log_sum(a: float | None, b: float) -> float:
    """The logarithm of the sum of two probabilities, given as logarithms; None is zero."""
    if a is None or math.isinf(a) or math.isinf(b):
        return b if a is None else max(a, b)
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


def _finite(values: Sequence[object]) -> tuple[float, ...] | None:
    """Log-probabilities; None where there are none, or one of them is missing."""
    logprobs = tuple(map(log_probability, values))
    return logprobs if logprobs and all(map(math.isfinite, logprobs)) else None


def _spelled(token: str) -> str:
    """The text of a token whose name may be the tokenizer's own: with its mark for a space, or as a byte."""
    if byte := _BYTE.fullmatch(token):
        return chr(int(byte.group(1), 16))
    return whole_characters(token.replace("\u2581", " ").replace("\u0120", " "))
