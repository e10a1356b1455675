"""Whatever a server streams, a call gives pieces or an EngineError, never anything else."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specreason.config import EngineSettings
from specreason.engines.chunks import choices, first_distribution, log_sum, pieces
from specreason.engines.connect import connect
from specreason.engines.dialects import DIALECTS, GENERIC, VLLM, Dialect
from specreason.engines.http import Endpoint, HttpEngine
from specreason.engines.protocol import (
    Capabilities,
    Finish,
    NextToken,
    Piece,
    Prompt,
    Sampling,
    Segment,
    Usage,
)
from specreason.engines.transport import Transport
from specreason.errors import ConfigError, EngineError, EngineRejected, EngineUnavailable

# As some servers send them: half characters, numbers that are no numbers, words for numbers.
ODD: Sequence[Any] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    "\ud83d",
    "\ude00",
    "NaN",
    "-Infinity",
    "9",
    "stop",
    [],
    {},
    [None],
)
VALUES = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = {
    "chunk": ("choices", "usage", "timings", "__verbose", "object", "detail", "message", "type"),
    "choice": ("text", "finish_reason", "token_ids", "logprobs", "index"),
    "logprobs": ("tokens", "token_logprobs", "top_logprobs", "content"),
    "token": ("token", "logprob", "id", "bytes", "top_logprobs"),
    "usage": ("prompt_tokens", "completion_tokens", "prompt_tokens_details"),
    "timings": ("prompt_ms", "predicted_ms", "cache_n", "draft_n", "draft_n_accepted"),
}


def table(name: str, **sound: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with some of these fields, each as it should be or of any kind."""
    fields = dict.fromkeys(FIELDS[name], VALUES)
    return st.fixed_dictionaries({}, optional=fields | {key: one | VALUES for key, one in sound.items()})


TOKEN = table("token", token=st.text(max_size=2), logprob=st.floats(), top_logprobs=st.lists(table("token")))
LOGPROBS = table(
    "logprobs",
    tokens=st.lists(st.text(max_size=2), max_size=3),
    token_logprobs=st.lists(st.floats() | st.none(), max_size=3),
    top_logprobs=st.lists(st.dictionaries(st.text(max_size=2), st.floats() | VALUES), max_size=2),
    content=st.lists(TOKEN, max_size=2),
)
CHOICE = table(
    "choice",
    text=st.text(max_size=4),
    token_ids=st.lists(st.integers(), max_size=3),
    logprobs=LOGPROBS,
)
CHUNK = table(
    "chunk",
    choices=st.lists(CHOICE | VALUES, max_size=2),
    usage=table("usage"),
    timings=table("timings"),
    __verbose=st.fixed_dictionaries({"tokens": VALUES}),
)


def events(*chunks: Any) -> str:
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)


def engine(stream: str | bytes, dialect: Dialect = GENERIC) -> HttpEngine:
    """An engine whose server answers every completion with this."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        body = stream if isinstance(stream, bytes) else stream.encode()
        return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, content=body)

    told = EngineSettings(url="http://127.0.0.1:9/v1", attempts=1)
    can = Capabilities(first_token_logprobs=5)
    endpoint = Endpoint(dialect=dialect, model="m", context_length=64, capabilities=can, vocabulary="")
    return HttpEngine(Transport("base", told, httpx2.MockTransport(answer)), told, endpoint)


async def written(
    stream: str | bytes, dialect: Dialect = GENERIC, most: int = 8
) -> tuple[list[Piece], Usage, Finish | None]:
    call = engine(stream, dialect).generate(
        Prompt().plus(Segment("Two and two is")), sampling=Sampling(), max_tokens=most
    )
    return [piece async for piece in call], call.usage, call.finish


async def judged(stream: str) -> NextToken:
    return await engine(stream).next_token_logprobs(Prompt().plus(Segment("Score:")))


@settings(max_examples=300)
@given(st.lists(CHUNK | VALUES, max_size=4), st.sampled_from(sorted(DIALECTS)))
def test_any_json_gives_pieces_or_an_error_of_ours(sent: list[Any], dialect: str) -> None:
    try:
        said, usage, finish = asyncio.run(written(events(*sent) + "data: [DONE]\n\n", DIALECTS[dialect]))
    except EngineError:
        return
    for piece in said:
        piece.text.encode()
        assert piece.ids is None or all(isinstance(i, int) for i in piece.ids)
        assert piece.logprobs is None or all(p == p and abs(p) != float("inf") for p in piece.logprobs)  # noqa: PLR0124
    assert finish in {"stop", "length"}
    assert usage.generated_tokens >= 0


@settings(max_examples=200)
@given(st.lists(CHUNK | VALUES, max_size=3))
def test_any_json_gives_a_distribution_or_an_error_of_ours(sent: list[Any]) -> None:
    try:
        told = asyncio.run(judged(events(*sent) + "data: [DONE]\n\n"))
    except EngineError:
        return
    for text, logprob in told.logprobs.items():
        text.encode()
        assert logprob == logprob  # noqa: PLR0124


@settings(max_examples=200)
@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_bytes_give_an_error_of_ours_or_nothing(sent: bytes) -> None:
    try:
        said, _, _ = asyncio.run(written(sent))
    except EngineError:
        return
    assert "".join(piece.text for piece in said) == ""


ENTRY = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("id", "name", "model", "owned_by", "max_model_len", "meta", "aliases"), VALUES),
)
ENTRIES = st.lists(ENTRY | VALUES, max_size=3) | VALUES


@settings(max_examples=200)
@given(
    st.fixed_dictionaries({}, optional={"data": ENTRIES, "models": ENTRIES}) | VALUES,
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("tokens", "prompt", "total_slots", "bos_token"), VALUES)
    ),
    st.sampled_from(["auto", *sorted(DIALECTS)]),
    st.sampled_from(["", "m"]),
)
def test_any_json_connects_or_is_an_error_of_ours(listing: Any, side: Any, dialect: str, model: str) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/completions":
            return httpx2.Response(200, content=ends("stop"))
        return httpx2.Response(200, content=json.dumps(listing if request.url.path == "/v1/models" else side))

    told = EngineSettings.model_validate({"url": "http://127.0.0.1:9", "dialect": dialect, "model": model})
    try:
        connected = asyncio.run(connect("base", told, transport=httpx2.MockTransport(answer)))
    except (EngineError, ConfigError):
        return
    connected.model.encode()
    assert connected.context_length > 0


@given(st.text(min_size=1, max_size=12), st.data())
def test_characters_are_whole_wherever_the_text_is_cut(text: str, data: st.DataObject) -> None:
    halves = [half for c in text for half in _halves(c)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(halves)), max_size=3)))
    parts = ["".join(halves[a:b]) for a, b in zip([0, *cuts], [*cuts, len(halves)], strict=True)]
    held: list[str] = []
    told = [c["text"] for part in parts for c in choices({"choices": [{"text": part}]}, held)]
    assert "".join(told) == text
    assert held == []


def _halves(character: str) -> Sequence[str]:
    pair = character.encode("utf-16-be")
    return [pair[i : i + 2].decode("utf-16-be", "surrogatepass") for i in range(0, len(pair), 2)]


# ---------------------------------------------------------------- ends


def ends(reason: object, *after: Any) -> str:
    return events(
        {"choices": [{"text": "four"}]}, {"choices": [{"text": "", "finish_reason": reason}]}, *after
    )


@pytest.mark.parametrize(
    "reason", ["stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "STOP"]
)
async def test_a_natural_end_has_many_names(reason: str) -> None:
    said, _, finish = await written(ends(reason))
    assert ("".join(piece.text for piece in said), finish) == ("four", "stop")


@pytest.mark.parametrize(
    "reason", ["length", "max_tokens", "model_length", "MAX_TOKENS", "FinishReason.LENGTH"]
)
async def test_so_has_an_end_by_length(reason: str) -> None:
    assert (await written(ends(reason)))[2] == "length"


@pytest.mark.parametrize("reason", [None, "", 0, {}])
@pytest.mark.parametrize(
    "after", ["data: [DONE]\n\n", events({"choices": [], "usage": {"completion_tokens": 1}})]
)
async def test_a_stream_that_the_server_ends_is_whole(reason: object, after: str) -> None:
    assert (await written(ends(reason) + after))[2] == "stop"
    assert (await written(ends(reason) + after, most=1))[2] == "length"
    with pytest.raises(EngineUnavailable, match="middle of the text"):
        await written(ends(reason))


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "refusal"])
async def test_a_filter_is_named(reason: str) -> None:
    with pytest.raises(EngineRejected, match=f"filter.*{reason}"):
        await written(ends(reason) + "data: [DONE]\n\n")


@pytest.mark.parametrize("reason", ["abort", "error", "cancelled"])
async def test_a_server_that_gives_up_may_do_better_later(reason: str) -> None:
    with pytest.raises(EngineUnavailable, match=f"gave up.*{reason}"):
        await written(ends(reason) + "data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, (None, 1)),
        ({}, (None, 1)),
        ({"prompt_tokens": 7, "completion_tokens": 3}, (7, 3)),
        ({"prompt_tokens": 7.0, "completion_tokens": "3"}, (7, 3)),
        ({"prompt_tokens": None, "completion_tokens": -3}, (None, 1)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, (None, 1)),
    ],
)
async def test_usage_counts_where_it_is_told(usage: object, tokens: tuple[int | None, int]) -> None:
    told = (await written(ends("stop", {"choices": None, "usage": usage})))[1]
    assert (told.prompt_tokens, told.generated_tokens) == tokens


# ---------------------------------------------------------------- log-probabilities


@pytest.mark.parametrize(
    ("logprobs", "likeliest"),
    [
        ({"top_logprobs": [{"9": -0.1, "8": None}]}, [("9", -0.1), ("8", float("-inf"))]),
        ({"top_logprobs": [{"9": -0.1, "8": "-Infinity"}]}, [("9", -0.1), ("8", float("-inf"))]),
        ({"top_logprobs": [{"9": "-0.1", "8": -9999}]}, [("9", -0.1), ("8", -9999.0)]),
        ({"top_logprobs": [{"\u25819": -0.1, "\u01208": -2}]}, [(" 9", -0.1), (" 8", -2.0)]),
        ({"top_logprobs": [{"<0x39>": -0.1, "<0xE2>": -2}]}, [("9", -0.1), ("<0xE2>", -2.0)]),
        ({"content": [{"top_logprobs": [{"token": "9", "logprob": -0.1}]}]}, [("9", -0.1)]),
        ({"content": [{"token": "9", "logprob": -0.1, "top_logprobs": None}]}, []),
        ({"content": [{"token": "9", "logprob": -0.1}]}, []),
        ({"top_logprobs": [None]}, []),
        ({"top_logprobs": [{"9": None, "8": None}]}, []),
        ({"top_logprobs": [{"9": float("nan")}]}, []),
        ([{"token": "9", "logprob": -0.1}], []),
        ({}, []),
        (None, []),
    ],
)
def test_null_is_no_probability_and_raw_names_are_texts(
    logprobs: Any, likeliest: list[tuple[str, float]]
) -> None:
    assert first_distribution({"logprobs": logprobs}) == likeliest


def test_a_token_without_a_log_probability_is_a_piece_all_the_same() -> None:
    told = {"tokens": ["a", "\n\n"], "token_logprobs": [-0.5, None]}
    choice = {"text": "a\n\n", "token_ids": [1, 2], "logprobs": told}
    assert pieces(VLLM, choice, {}) == [Piece("a", (1,), (-0.5,)), Piece("\n\n", (2,), None)]


def test_nothing_and_nothing_is_nothing() -> None:
    assert log_sum(float("-inf"), float("-inf")) == float("-inf")
    assert log_sum(float("-inf"), -1.0) == -1.0
