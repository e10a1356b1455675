"""The chat API over a real socket: what comes back, in which shape, in which order."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from serving import ANSWER, SMALL, THINKING, Json, Served, base, pair, served, small

from specreason.server.replies import ChatReply, Chunk


@pytest.fixture
async def state() -> AsyncGenerator[Served]:
    async with served() as running:
        yield running


def events(text: str) -> list[Json]:
    """The chunks of a stream, which must end with [DONE] and hold nothing that its schema does not."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    for chunk in chunks:
        Chunk.model_validate(chunk)
    return chunks


async def streamed(state: Served, **body: Any) -> list[Json]:
    reply = await state.chat(stream=True, **body)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    return events(reply.text)


def joined(chunks: list[Json], field: str, index: int = 0) -> str:
    deltas = [c["delta"] for chunk in chunks for c in chunk["choices"] if c["index"] == index]
    return "".join(delta.get(field, "") for delta in deltas)


async def whole(state: Served, **body: Any) -> Json:
    reply = await state.chat(**body)
    assert reply.status_code == 200, reply.text
    ChatReply.model_validate(reply.json())
    return reply.json()


# ---------------------------------------------------------------- whole and streamed


async def test_a_reply_holds_thinking_answer_and_usage(state: Served) -> None:
    reply = await whole(state)
    message = reply["choices"][0]["message"]
    assert (message["content"], message["reasoning"]) == (ANSWER, THINKING)
    assert "reasoning_content" not in message
    assert reply["choices"][0]["finish_reason"] == "stop"
    usage = reply["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 16
    assert usage["completion_tokens"] == 16 + 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]


async def test_tokens_are_counted_apart_for_each_model(state: Served) -> None:
    models = (await whole(state))["usage"]["specreason"]
    assert (models["small"]["drafted"], models["small"]["kept"], models["small"]["discarded"]) == (16, 11, 5)
    assert (models["base"]["drafted"], models["base"]["kept"]) == (0, 8)


async def test_a_stream_tells_the_same_as_a_reply(state: Served) -> None:
    chunks = await streamed(state, stream_options={"include_usage": True})
    reply = await whole(state)
    assert joined(chunks, "reasoning") == THINKING
    assert joined(chunks, "reasoning_content") == ""
    assert joined(chunks, "content") == ANSWER
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [c["finish_reason"] for chunk in chunks for c in chunk["choices"]][-1] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == reply["usage"]
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_thinking_comes_step_by_step_and_the_answer_token_by_token(state: Served) -> None:
    deltas = [c["delta"] for chunk in await streamed(state) for c in chunk["choices"]]
    assert [d["reasoning"] for d in deltas if "reasoning" in d] == [
        "Two and two is 4.\n\n",
        "Twice that is 8.\n\n",
        "That is all.\n",
    ]
    assert [d["content"] for d in deltas if "content" in d] == ["It", " is", " \\boxed{8}."]


async def test_usage_is_streamed_only_when_asked_for(state: Served) -> None:
    assert not any("usage" in chunk for chunk in await streamed(state))


# ---------------------------------------------------------------- models and settings


async def test_each_model_answers_under_its_own_name(state: Served) -> None:
    names = [card["id"] for card in (await state.client.get("/v1/models")).json()["data"]]
    assert names == ["specreason", "scripted-small", "scripted-base"]
    alone = await whole(state, model="scripted-small")
    assert alone["choices"][0]["message"]["content"] == "Small says \\boxed{9}."
    assert alone["choices"][0]["message"]["reasoning"] == "".join(SMALL).removesuffix("</think>")
    assert list(alone["usage"]["specreason"]) == ["small"]
    assert alone["specreason"]["choices"][0]["scheme"] == "small"
    assert list((await whole(state, model="scripted-base"))["usage"]["specreason"]) == ["base"]
    assert (await state.client.get("/v1/models/scripted-base")).json()["specreason"]["scheme"] == "base"
    assert (await state.client.get("/v1/models/none")).status_code == 404


@pytest.mark.parametrize(
    ("given", "authors"),
    [
        ({"policy": {"specreason": {"threshold": 0}}}, ["small", "small", "small"]),
        (
            {"policy": {"specreason": {"threshold": 9, "first_n_base_steps": 2}}},
            ["base", "base", "small"],
        ),
        ({"scheme": "base"}, ["base", "base", "base"]),
        ({"policy": {"specreason": {"judge_method": "expected"}}}, ["small", "base", "small"]),
        ({"step_delimiter": "\n\n", "lookahead": 0.0}, ["small", "base", "small"]),
    ],
)
async def test_settings_go_with_the_request(state: Served, given: Json, authors: list[str]) -> None:
    reply = await whole(state, specreason={**given, "include_steps": True})
    steps = reply["specreason"]["choices"][0]["steps"]
    assert [step["author"] for step in steps] == authors


async def test_under_auto_a_step_says_why_it_was_written_so(state: Served) -> None:
    reply = await whole(state, specreason={"speculate": "auto", "include_steps": True})
    first, *_ = reply["specreason"]["choices"][0]["steps"]
    assert first["author"] == "base"
    assert first["plan"] == "what the base model needs is not known yet"


async def test_a_thinking_budget_closes_thinking(state: Served) -> None:
    for body in ({"specreason": {"token_budget": 6}}, {"max_completion_tokens": 8}):
        reply = await whole(state, **body)
        assert reply["specreason"]["choices"][0]["ended"] == "budget"
        assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == 6
        assert reply["usage"]["completion_tokens"] <= 9


async def test_the_effort_stands_for_a_thinking_budget() -> None:
    budgets: Json = {"effort_minimal": 1, "effort_low": 6, "effort_medium": 11, "effort_high": 14}
    async with served(**budgets, effort_xhigh=1000) as state:
        thought: list[int] = []
        for level in ("none", "minimal", "low", "medium", "high", "xhigh"):
            reply = await whole(state, reasoning_effort=level)
            thought.append(reply["usage"]["completion_tokens_details"]["reasoning_tokens"])
            ended = reply["specreason"]["choices"][0]["ended"]
            assert ended == ("closed" if level == "xhigh" else "budget")
        assert thought == [0, 1, 6, 11, 14, 16]


@pytest.mark.parametrize("body", [{"reasoning_effort": "none"}, {"specreason": {"token_budget": 0}}])
async def test_without_a_thinking_budget_the_answer_comes_at_once(body: Json) -> None:
    engines = pair()
    async with served(engines) as state:
        reply = await whole(state, **body)
        message = reply["choices"][0]["message"]
        assert (message["content"], message["reasoning"]) == (ANSWER, "")
        assert reply["choices"][0]["finish_reason"] == "stop"
        assert reply["usage"]["completion_tokens"] == 3
    assert engines["small"].calls == []
    assert len(engines["base"].calls) == 1
    assert engines["base"].calls[0].prompt.text.endswith("<think>\n</think>\n\n")


async def test_an_instruct_model_without_a_thinking_budget_states_its_answer() -> None:
    async with served(pair(base(("8}.\n\n",), thinking=False))) as state:
        reply = await whole(state, model="scripted-base", reasoning_effort="none")
        message = reply["choices"][0]["message"]
        assert (message["content"], message["reasoning"]) == ("Final answer: \\boxed{8}.", "")


@pytest.mark.parametrize(
    ("body", "reason", "content"),
    [
        ({}, "stop", ANSWER),
        ({"stop": "boxed"}, "stop", "It is \\"),
        ({"stop": ["never", " is"]}, "stop", "It"),
        ({"stop": "It"}, "stop", None),
        ({"max_completion_tokens": 8}, "length", "It is"),
        ({"max_completion_tokens": 19}, "stop", ANSWER),
        ({"max_tokens": 3}, "length", None),
        ({"max_completion_tokens": 1}, "length", None),
    ],
)
async def test_the_finish_reason_is_right(
    state: Served, body: Json, reason: str, content: str | None
) -> None:
    reply = await whole(state, **body)
    choice = reply["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == (reason, content)
    if limit := body.get("max_completion_tokens"):
        assert reply["usage"]["completion_tokens"] <= limit
    chunks = await streamed(state, **body)
    assert joined(chunks, "content") == (content or "")
    assert chunks[-1]["choices"][0]["finish_reason"] == reason


async def test_several_choices_are_thought_through_apart() -> None:
    engines = pair()
    async with served(engines, concurrency=2) as state:
        reply = await whole(state, n=3, seed=7)
        assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
        assert all(choice["message"]["content"] == ANSWER for choice in reply["choices"])
        assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3 * 16
        chunks = await streamed(state, n=3)
        assert [joined(chunks, "content", index) for index in range(3)] == [ANSWER] * 3
        assert sum(c["finish_reason"] == "stop" for chunk in chunks for c in chunk["choices"]) == 3
    assert len({call.session for call in engines["base"].calls}) == 6


async def test_a_conversation_may_hold_earlier_thinking_under_either_name(state: Served) -> None:
    history = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": " and one?"}]},
        {"role": "assistant", "content": "2", "reasoning": "hm", "reasoning_content": "hm"},
        {"role": "user", "content": "And twice that?"},
    ]
    reply = await whole(state, messages=history)
    assert reply["choices"][0]["message"]["content"] == ANSWER


async def test_an_instruct_model_answers_from_its_chain() -> None:
    steps = ("Two and two is 4.\n\n", "So \\boxed{4}.\n\n")
    engines = pair(base(steps, thinking=False), small(steps, thinking=False))
    async with served(engines) as state:
        reply = await whole(state)
        message = reply["choices"][0]["message"]
        assert message["content"] == "So \\boxed{4}."
        assert message["reasoning"] == "".join(steps)
        assert reply["choices"][0]["finish_reason"] == "stop"


async def test_an_answer_that_a_stop_text_leaves_nothing_of_has_stopped() -> None:
    steps = ("Two and two is 4.\n\n", "8}.\n\n")
    async with served(pair(base(steps, thinking=False))) as state:
        budget = {"token_budget": 6}
        for stop, content in (("Final", None), ("boxed{8", "Final answer: \\")):
            reply = await whole(state, model="scripted-base", stop=stop, specreason=budget)
            choice = reply["choices"][0]
            assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", content)


async def test_headers_tell_the_request_and_whose_time_it_was(state: Served) -> None:
    reply = await state.client.post(
        "/v1/chat/completions",
        json={"model": "specreason", "messages": [{"role": "user", "content": "?"}]},
        headers={"X-Request-Id": "mine-1"},
    )
    assert reply.headers["x-request-id"] == "mine-1"
    assert float(reply.headers["x-specreason-overhead-ms"]) >= 0
    assert float(reply.headers["x-specreason-queue-ms"]) >= 0
    assert len((await state.client.get("/health")).headers["x-request-id"]) == 32


async def test_the_small_paths(state: Served) -> None:
    assert (await state.client.get("/health")).json() == {"status": "ok"}
    ready = (await state.client.get("/ready")).json()
    assert ready == {"status": "ready", "engines": {"base": "ok", "small": "ok"}, "running": 0, "waiting": 0}
    assert "version" in (await state.client.get("/version")).json()
    assert "openapi" in (await state.client.get("/openapi.json")).json()
    page = (await state.client.get("/docs")).text
    assert "http://" not in page.replace(state.url, "")
    assert "https://" not in page


async def test_a_request_may_choose_speculation_underneath() -> None:
    plain, decoder = base(), base()
    async with served(pair(plain), decoder=decoder) as state:
        replies = [
            await whole(state, specreason={"scheme": scheme})
            for scheme in ("base", "base+decode", "specreason", "specreason+decode")
        ]
        ready = (await state.client.get("/ready")).json()
    assert [reply["choices"][0]["message"]["content"] for reply in replies] == [ANSWER] * 4
    assert replies[3]["choices"][0]["message"]["reasoning"] == THINKING
    told = [reply["specreason"]["choices"][0]["scheme"] for reply in replies]
    assert told == ["base", "base+decode", "specreason", "specreason+decode"]
    assert len(plain.calls) == len(decoder.calls) > 0
    assert ready["engines"] == {"base": "ok", "small": "ok", "base+decode": "ok"}
