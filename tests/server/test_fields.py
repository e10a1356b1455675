"""What clients of OpenAI and vLLM send: asked for nothing, asked for something, misspelt."""

import json
from collections.abc import AsyncGenerator

import pytest
from serving import ANSWER, THINKING, Json, Served, pair, served

from specreason.engines.scripted import ScriptedEngine


@pytest.fixture
async def state() -> AsyncGenerator[Served]:
    async with served(max_tokens=1000) as running:
        yield running


async def answer(state: Served, **body: object) -> Json:
    reply = await state.chat(**body)
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"][0]


NEUTRAL: Json = {
    "n": 1,
    "best_of": 1,
    "use_beam_search": False,
    "top_k": -1,
    "min_p": 0,
    "min_tokens": 0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0,
    "frequency_penalty": 0.0,
    "length_penalty": 1,
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": 0,
    "stop": [],
    "stop_token_ids": [],
    "include_stop_str_in_output": False,
    "ignore_eos": False,
    "skip_special_tokens": True,
    "spaces_between_special_tokens": True,
    "truncate_prompt_tokens": None,
    "prompt_logprobs": None,
    "echo": False,
    "add_generation_prompt": True,
    "continue_final_message": False,
    "add_special_tokens": False,
    "documents": None,
    "chat_template": None,
    "chat_template_kwargs": {},
    "include_reasoning": True,
    "priority": 0,
    "return_token_ids": False,
    "structured_outputs": {},
    "response_format": {"type": "text"},
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "separate_reasoning": True,
    "kv_transfer_params": None,
    "reasoning": {},
    "thinking": {"type": "enabled"},
    "thinking_token_budget": -1,
    "service_tier": "auto",
    "modalities": ["text"],
}
HARMLESS: Json = {
    "metadata": {"run": "7"},
    "store": True,
    "prompt_cache_key": "abc",
    "request_id": "mine",
    "cache_salt": "salt",
    "user": "someone",
    "safety_identifier": "someone",
    "ignore_eos": True,
    "skip_special_tokens": False,
}


async def test_fields_that_ask_for_nothing_are_taken(state: Served) -> None:
    plain = await answer(state)
    assert await answer(state, **NEUTRAL) | {"index": 0} == plain
    assert await answer(state, **dict.fromkeys(NEUTRAL)) == plain


@pytest.mark.parametrize("field", sorted(HARMLESS))
async def test_notes_of_clients_are_taken(state: Served, field: str) -> None:
    assert (await answer(state, **{field: HARMLESS[field]}))["message"]["content"] == ANSWER


async def test_messages_may_hold_what_clients_note_in_them(state: Served) -> None:
    part = {"type": "text", "text": "2 + 2?", "cache_control": {"type": "ephemeral"}}
    reply = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}],
        "provider_specific_fields": {"refusal": None},
        "reasoning_details": [{"type": "reasoning.text", "text": "hm"}],
        "annotations": [{"type": "note"}],
        "refusal": None,
        "id": "msg_1",
    }
    turns = [
        {"role": "system", "content": "Be brief.", "name": "rules"},
        {"role": "user", "content": [part], "name": "alice", "id": "u1"},
        reply,
        {"role": "user", "content": "And twice that?"},
    ]
    engines = pair()
    async with served(engines) as running:
        assert (await answer(running, messages=turns))["message"]["content"] == ANSWER
    prompt = engines["base"].calls[0].prompt.text
    assert "<|user|>2 + 2?<|end|><|assistant|>4<|end|>" in prompt
    assert "alice" not in prompt
    assert "hm" not in prompt


async def test_a_request_without_a_model_is_for_the_pair(state: Served) -> None:
    body = {"messages": [{"role": "user", "content": "?"}]}
    for model in ({}, {"model": None}):
        reply = await state.client.post("/v1/chat/completions", json=body | model)
        assert reply.json()["model"] == "specreason"


# ---------------------------------------------------------------- sampling


async def test_ranks_and_seeds_reach_the_engines() -> None:
    engines = pair()
    async with served(engines) as state:
        await answer(state, top_k=20, min_p=0.1, seed=2**63 + 5, top_p=0.5)
        drawn = [call.sampling for call in engines["small"].calls]
        assert {(s.top_k, s.min_p, s.top_p) for s in drawn if s} == {(20, 0.1, 0.5)}
        assert all(s and s.seed is not None and 0 <= s.seed < 2**32 for s in drawn)
        engines["small"].calls.clear()
        await answer(state, seed=-1, top_k=0)
        assert {(s.top_k, s.seed) for call in engines["small"].calls if (s := call.sampling)} == {(-1, None)}


async def test_more_tokens_than_the_server_allows_are_as_many_as_it_allows() -> None:
    async with served(max_tokens=8) as state:
        for field in ("max_tokens", "max_completion_tokens"):
            asked = await state.chat(**{field: 100_000})
            allowed = await state.chat(**{field: 8})
            assert asked.json()["usage"] == allowed.json()["usage"]


# ---------------------------------------------------------------- thinking

NO_THINKING: list[Json] = [
    {"reasoning_effort": "none"},
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"chat_template_kwargs": {"thinking": False}},
    {"thinking_token_budget": 0},
    {"thinking": {"type": "disabled"}},
    {"reasoning": {"effort": "none"}},
    {"reasoning": {"max_tokens": 0}},
    {"reasoning": {"enabled": False}},
    {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": False}},
]


@pytest.mark.parametrize("body", NO_THINKING)
async def test_thinking_can_be_turned_off_in_all_the_usual_words(state: Served, body: Json) -> None:
    message = (await answer(state, **body))["message"]
    assert (message["content"], message["reasoning"]) == (ANSWER, "")


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"thinking_token_budget": 6}, 6),
        ({"thinking": {"type": "enabled", "budget_tokens": 6}}, 6),
        ({"reasoning": {"max_tokens": 6}}, 6),
        ({"reasoning_effort": "max"}, 16),
        ({"reasoning": {"effort": "high"}}, 16),
        ({"chat_template_kwargs": {"enable_thinking": True}}, 16),
    ],
)
async def test_how_much_is_thought_can_be_said_in_all_the_usual_words(
    state: Served, body: Json, tokens: int
) -> None:
    usage = (await state.chat(**body)).json()["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == tokens


async def test_two_that_differ_are_refused(state: Served) -> None:
    reply = await state.chat(reasoning_effort="low", chat_template_kwargs={"enable_thinking": False})
    error = reply.json()["error"]
    assert (error["code"], error["param"]) == ("conflicting_fields", "chat_template_kwargs.enable_thinking")


@pytest.mark.parametrize("body", [{"include_reasoning": False}, {"reasoning": {"exclude": True}}])
async def test_thinking_need_not_be_told(state: Served, body: Json) -> None:
    reply = (await state.chat(**body)).json()
    assert "reasoning" not in reply["choices"][0]["message"]
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == 16
    assert "Twice" not in (await state.chat(stream=True, **body)).text
    steps = (await state.chat(stream=True, specreason={"include_steps": True}, **body)).text
    assert '"step":' in steps  # asked for by their own name


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("reasoning", {"reasoning"}),
        ("reasoning_content", {"reasoning_content"}),
        ("both", {"reasoning", "reasoning_content"}),
    ],
)
async def test_a_setting_says_where_the_thinking_is_told(setting: str, names: set[str]) -> None:
    async with served(reasoning_field=setting) as state:
        message = (await answer(state))["message"]
        assert {name: text for name, text in message.items() if text == THINKING} == dict.fromkeys(
            names, THINKING
        )
        lines = (await state.chat(stream=True)).text.split("\n\n")
        chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        assert {name for delta in deltas for name in delta if name.startswith("reasoning")} == names


# ---------------------------------------------------------------- usage and models


async def test_the_usage_can_be_told_with_every_chunk(state: Served) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    lines = (await state.chat(stream=True, stream_options=options)).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (6, 19)
    assert chunks[-1]["choices"] == []


async def test_the_listing_tells_what_vllms_does() -> None:
    async with served(pair(ScriptedEngine("base", context_length=900))) as state:
        cards = {card["id"]: card for card in (await state.client.get("/v1/models")).json()["data"]}
        assert (cards["specreason"]["root"], cards["specreason"]["max_model_len"]) == ("scripted-base", 900)
        assert cards["scripted-small"]["max_model_len"] == 100_000
        assert cards["scripted-small"]["parent"] is None
        assert (await state.client.head("/v1/models")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "hint"),
    [
        ("GET", "/v1/models/", "did you mean /v1/models?"),
        ("GET", "/models", "did you mean /v1/models?"),
        ("POST", "/chat/completions", "did you mean /v1/chat/completions?"),
        ("POST", "/v1/v1/chat/completions", "did you mean /v1/chat/completions?"),
        ("POST", "/v1/responses/", "did you mean /v1/responses?"),
        ("POST", "/v1/completions", "use /v1/chat/completions"),
        ("POST", "/v1/messages", "use /v1/chat/completions"),
    ],
)
async def test_a_path_beside_the_right_one_is_told_of_it(
    state: Served, method: str, path: str, hint: str
) -> None:
    reply = await state.client.request(method, path)
    assert reply.status_code == 404
    assert hint in reply.json()["error"]["message"]
