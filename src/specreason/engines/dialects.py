"""How the servers of the completions API differ: one table a server, no branches elsewhere.

Sources: the servers' own documentation and sources; docs/engines.md says for each line what was seen on a
live server. All of them take `prompt` as text, most as token ids too, on POST /v1/completions.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from specreason.engines.protocol import ConstraintKind
from specreason.engines.reading import Json, count, inner, number, objects, text, token_ids

# ---------------------------------------------------------------- readers shared by several servers


def _usage_cached(chunk: Json) -> int | None:
    usage = inner(chunk, "usage")
    # vLLM omits the details without --enable-prompt-tokens-details.
    if usage.get("prompt_tokens_details") is None:
        return None
    return count(inner(usage, "prompt_tokens_details").get("cached_tokens")) or 0


def _metric_sum(*names: str) -> Callable[[str], int]:
    """Sum of the samples of a Prometheus gauge, whatever its labels."""

    def read(page: str) -> int:
        total = 0.0
        for line in page.splitlines():
            if line.startswith(names) and line[len(line.split("{")[0].split(" ")[0]) :][:1] in {"{", " "}:
                total += float(line.rsplit(" ", 1)[-1])
        return int(total)

    return read


def _prompt_body(text: str, model: str, _control: bool) -> dict[str, Any]:
    return {"model": model, "prompt": text, "add_special_tokens": False}


def _tokens(reply: Json) -> list[int]:
    ids = token_ids(reply["tokens"])
    if ids is None:
        raise TypeError("tokens must be ids")
    return ids


def _prompt(reply: Json) -> str:
    if not isinstance(reply["prompt"], str):
        raise TypeError("a prompt must be a text")
    return text(reply["prompt"])


def _whole(reply: Json) -> Json:
    return reply


def _max_model_len(entry: Json) -> int | None:
    return count(entry.get("max_model_len"))


def _token_ids(choice: Json, _chunk: Json) -> Sequence[int] | None:
    return token_ids(choice.get("token_ids"))


def _no_ids(_choice: Json, _chunk: Json) -> None:
    return None


def _nothing(_: Json) -> None:
    return None


def _no_pair(_: Json) -> tuple[None, None]:
    return (None, None)


@dataclass(frozen=True, slots=True)
class Route:
    """A side request: where it goes, what is sent, how the reply is read."""

    path: str
    read: Callable[[Any], Any]
    body: Callable[[Any, str, Any], dict[str, Any]] | None = None  # (content, model, option); None: GET
    names_model: bool = False  # in the query, since a GET has no body


@dataclass(frozen=True, slots=True)
class Dialect:
    """One server's way of speaking the completions API."""

    name: str
    owned_by: str = ""  # what /v1/models says, by which a server is recognised
    # Added to every completion request.
    body: Json = field(default_factory=dict[str, Any])
    # Added to a streamed request's headers.
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    session_field: str = ""  # takes the number of a cache slot
    logprobs_for_ids: bool = False  # token ids come with log-probabilities only
    # Added, in place of log-probabilities, where the server drafts tokens itself: what makes it tell the ids.
    speculating: Json = field(default_factory=dict[str, Any])
    # Added where the distribution over the next token is asked for.
    distribution: Json = field(default_factory=dict[str, Any])
    max_logprobs: int = 5
    candidates_field: str = ""  # takes token ids whose log-probabilities are always given
    # From one streamed choice and its chunk: ids of its tokens.
    read_ids: Callable[[Json, Json], Sequence[int] | None] = _no_ids
    # From the chunk: cached prompt tokens, timings in seconds, tokens drafted and kept by the server itself.
    read_cached: Callable[[Json], int | None] = _nothing
    read_timings: Callable[[Json], tuple[float | None, float | None]] = _no_pair
    read_token_drafts: Callable[[Json], tuple[int | None, int | None]] = _no_pair
    context: Callable[[Json], int | None] = _nothing  # from the entry in /v1/models
    tokenize: Route | None = None
    reads_control_as_text: bool = False  # `tokenize` can be asked to take control tokens as text
    # Messages (and tools) in, the rendered prompt out; each reads what the last gave.
    render: tuple[Route, ...] = ()
    properties: Route | None = None  # tells total_slots, context and the BOS token
    running: Route | None = None  # how many requests the server works on now
    # Where the server took the model (and its template) from; any of these.
    model_path: tuple[Route, ...] = ()
    draws_by_rank: bool = False  # takes `top_k` and `min_p` as they are
    # What is sent to keep a text to a constraint, for each kind that the server knows.
    constraints: Mapping[ConstraintKind, Callable[[Any], Json]] = field(
        default_factory=dict[ConstraintKind, Callable[[Any], Json]]
    )


# ---------------------------------------------------------------- llama-server (also the embedded engine)


def _llama_ids(choice: Json, chunk: Json) -> Sequence[int] | None:
    """Ids of a chunk; None where its text holds bytes of earlier tokens that were never streamed.

    The server keeps back the ids of tokens that end inside a UTF-8 character. While it speculates it tells
    ids without bytes; then only a text without such characters is surely that of its ids.
    """
    said = text(choice.get("text"))
    if "__verbose" in chunk:
        return token_ids(inner(chunk, "__verbose").get("tokens")) if said.isascii() else None
    content = objects(inner(choice, "logprobs"), "content")
    spelled = [i for token in content for i in token_ids(token.get("bytes")) or ()]
    return token_ids([token.get("id") for token in content]) if spelled == list(said.encode()) else None


def _llama_cached(chunk: Json) -> int | None:
    return count(inner(chunk, "timings").get("cache_n"))


def _llama_timings(chunk: Json) -> tuple[float | None, float | None]:
    timings = inner(chunk, "timings")
    prompt_ms, predicted_ms = number(timings.get("prompt_ms")), number(timings.get("predicted_ms"))
    return (
        None if prompt_ms is None else prompt_ms / 1000,
        None if predicted_ms is None else predicted_ms / 1000,
    )


def _llama_token_drafts(chunk: Json) -> tuple[int | None, int | None]:
    timings = inner(chunk, "timings")
    return count(timings.get("draft_n")), count(timings.get("draft_n_accepted"))


# llama-server as a router of several models needs the model's name; one that serves a single one ignores it.
def _llama_tokenize_body(text: str, model: str, control: bool) -> dict[str, Any]:
    return {"model": model, "content": text, "add_special": False, "parse_special": control}


def _llama_render_body(conversation: Json, model: str, options: Json) -> dict[str, Any]:
    return {"model": model, **conversation, "add_generation_prompt": True, "chat_template_kwargs": options}


def _llama_context(entry: Json) -> int | None:
    return count(inner(entry, "meta").get("n_ctx"))


def _llama_running(slots: Sequence[Json]) -> int:
    return sum(bool(slot["is_processing"]) for slot in slots)


# Small models otherwise write white space without end, where the server's grammars are llguidance's; other
# builds pass over it (llguidance, docs/json_schema.md).
_COMPACT: Json = {"x-guidance": {"whitespace_flexible": False}}


def _llama_choice(texts: Sequence[str]) -> Json:
    return {"grammar": "root ::= " + " | ".join(json.dumps(text, ensure_ascii=False) for text in texts)}


LLAMA_SERVER = Dialect(
    name="llama-server",
    owned_by="llamacpp",
    body={"cache_prompt": True, "timings_per_token": True},
    # The server closes the connection after a stream without saying so.
    headers={"Connection": "close"},
    session_field="id_slot",
    logprobs_for_ids=True,
    # While it speculates, only the first token of a call has log-probabilities.
    speculating={"verbose": True, "return_tokens": True},
    max_logprobs=40,
    read_ids=_llama_ids,
    read_cached=_llama_cached,
    read_timings=_llama_timings,
    read_token_drafts=_llama_token_drafts,
    context=_llama_context,
    tokenize=Route("/tokenize", _tokens, _llama_tokenize_body),
    reads_control_as_text=True,
    render=(Route("/apply-template", _prompt, _llama_render_body),),
    properties=Route("/props", _whole, names_model=True),
    running=Route("/slots", _llama_running, names_model=True),
    draws_by_rank=True,
    constraints={  # README of llama-server, POST /completion
        "json": lambda schema: {"json_schema": {**schema, **_COMPACT}},
        "grammar": lambda gbnf: {"grammar": gbnf},
        "choice": _llama_choice,
    },
)

# ---------------------------------------------------------------- vLLM


def _vllm_render_body(conversation: Json, model: str, options: Json) -> dict[str, Any]:
    return {
        **conversation,
        "model": model,
        "add_generation_prompt": True,
        "add_special_tokens": False,
        "chat_template_kwargs": options,
    }


def _vllm_detokenize_body(tokens: Sequence[int], model: str, _options: Json) -> dict[str, Any]:
    return {"model": model, "tokens": tokens}


VLLM = Dialect(
    name="vllm",
    owned_by="vllm",
    # Control tokens stay visible, or a closing tag that is one would vanish from the text.
    body={"return_token_ids": True, "skip_special_tokens": False},
    # By token id, since tokens of equal text would hide one another.
    distribution={"return_tokens_as_token_ids": True},
    max_logprobs=20,
    candidates_field="logprob_token_ids",
    read_ids=_token_ids,
    read_cached=_usage_cached,
    context=_max_model_len,
    tokenize=Route("/tokenize", _tokens, _prompt_body),
    render=(
        Route("/tokenize", _tokens, _vllm_render_body),
        Route("/detokenize", _prompt, _vllm_detokenize_body),
    ),
    running=Route("/metrics", _metric_sum("vllm:num_requests_running")),
    draws_by_rank=True,
    constraints={  # vLLM documentation, "Structured Outputs"
        "json": lambda schema: {"structured_outputs": {"json": schema}},
        "regex": lambda regex: {"structured_outputs": {"regex": regex}},
        "choice": lambda texts: {"structured_outputs": {"choice": list(texts)}},
        "grammar": lambda grammar: {"structured_outputs": {"grammar": grammar}},
    },
)

# ---------------------------------------------------------------- SGLang


def _model_path(reply: Json) -> str:
    return str(reply["model_path"])


SGLANG = Dialect(
    name="sglang",
    owned_by="sglang",
    body={"return_token_ids": True, "skip_special_tokens": False},
    max_logprobs=20,
    read_ids=_token_ids,
    read_cached=_usage_cached,
    context=_max_model_len,
    tokenize=Route("/tokenize", _tokens, _prompt_body),
    running=Route("/metrics", _metric_sum("sglang:num_running_reqs")),
    # The second is the older name of the first.
    model_path=(Route("/model_info", _model_path), Route("/get_model_info", _model_path)),
    draws_by_rank=True,
    constraints={  # SGLang documentation, "Structured Outputs"
        "json": lambda schema: {"json_schema": json.dumps(schema)},
        "regex": lambda regex: {"regex": regex},
        "choice": lambda texts: {"regex": "(" + "|".join(map(re.escape, texts)) + ")"},
        "grammar": lambda ebnf: {"ebnf": ebnf},
    },
)

# ---------------------------------------------------------------- anything else: text in, text out

GENERIC = Dialect(name="generic", read_cached=_usage_cached)

DIALECTS: Mapping[str, Dialect] = {d.name: d for d in (VLLM, SGLANG, LLAMA_SERVER, GENERIC)}


def recognise(models: Json) -> Dialect:
    """The dialect of a server, from its reply to GET /v1/models."""
    owners = {text(entry.get("owned_by")) for entry in objects(models, "data")}
    return next((d for d in DIALECTS.values() if d.owned_by and d.owned_by in owners), GENERIC)
