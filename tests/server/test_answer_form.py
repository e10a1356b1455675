"""Answers of a given form, calls of tools, and turns that are gone on with."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest
from serving import ANSWER, THINKING, Json, Served, asking, base, pair, served, small

from specreason.engines.protocol import Constraint, Generation, Meter, Piece, Prompt, Sampling
from specreason.engines.scripted import ScriptedEngine
from specreason.errors import EngineRejected, EngineUnavailable

SCHEMA = {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "result", "schema": SCHEMA, "strict": True}}
WEATHER: Json = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {}}}},
}
ADD = {"type": "function", "function": {"name": "add"}}
CALL = '{"name": "weather", "arguments": {"city": "Bern"}}'


async def choice(state: Served, **body: Any) -> Json:
    reply = await state.chat(**body)
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"][0]


async def chunks(state: Served, **body: Any) -> list[Json]:
    lines = (await state.chat(stream=True, **body)).text.split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]


def constraints(engine: ScriptedEngine) -> list[Constraint | None]:
    return [call.sampling.constraint for call in engine.calls if call.sampling]


# ---------------------------------------------------------------- constraints

FORMS: list[tuple[Json, Constraint]] = [
    ({"response_format": {"type": "json_object"}}, Constraint("json", {"type": "object"})),
    ({"response_format": FORMAT}, Constraint("json", SCHEMA)),
    ({"structured_outputs": {"json": SCHEMA}}, Constraint("json", SCHEMA)),
    ({"structured_outputs": {"json": json.dumps(SCHEMA)}}, Constraint("json", SCHEMA)),
    ({"structured_outputs": {"json_object": True}}, Constraint("json", {"type": "object"})),
    ({"structured_outputs": {"regex": "[0-9]+"}}, Constraint("regex", "[0-9]+")),
    ({"structured_outputs": {"choice": ["yes", "no"]}}, Constraint("choice", ("yes", "no"))),
    ({"structured_outputs": {"grammar": "root ::= x"}}, Constraint("grammar", "root ::= x")),
    ({"guided_json": SCHEMA}, Constraint("json", SCHEMA)),
    ({"guided_regex": "a+"}, Constraint("regex", "a+")),
    ({"guided_choice": ["a"]}, Constraint("choice", ("a",))),
    ({"guided_grammar": "root ::= x"}, Constraint("grammar", "root ::= x")),
]


@pytest.mark.parametrize(("body", "constraint"), FORMS)
async def test_the_answer_keeps_to_a_form_and_thinking_is_free(body: Json, constraint: Constraint) -> None:
    engines = pair(base(answer='{"value": 8}'))
    async with served(engines) as state:
        message = (await choice(state, **body))["message"]
    assert (message["content"], message["reasoning"]) == ('{"value": 8}', THINKING)
    assert constraints(engines["small"]) == [None] * len(constraints(engines["small"]))
    *thinking, answering = constraints(engines["base"])
    assert (set(thinking), answering) == ({None}, constraint)
    assert "boxed" not in engines["base"].calls[0].prompt.text


async def test_an_engine_that_does_not_keep_to_a_schema_is_not_passed_off_as_one_that_does() -> None:
    async with served(pair(base(answer="The value is 8."))) as state:
        whole = await state.chat(response_format=FORMAT)
        told = await chunks(state, response_format=FORMAT)
    assert (whole.status_code, whole.json()["error"]["code"]) == (400, "unsupported_form")
    assert [chunk["error"]["code"] for chunk in told if "error" in chunk] == ["unsupported_form"]


async def test_a_schema_that_the_engine_refuses_is_the_clients_fault() -> None:
    @dataclass(slots=True)
    class Strict(ScriptedEngine):
        def generate(self, prompt: Prompt, *, sampling: Sampling, **more: Any) -> Generation:
            async def refused(_: Meter) -> AsyncGenerator[Piece, None]:
                raise EngineRejected("no such grammar", engine=self.name)
                yield Piece("")

            if sampling.constraint is not None:
                return Generation(refused)
            return ScriptedEngine.generate(self, prompt, sampling=sampling, **more)

    engine = base()
    strict = Strict("base", steps=engine.steps, answer=engine.answer, scores=engine.scores)
    async with served(pair(strict)) as state:
        reply = await state.chat(guided_grammar="not a grammar")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_form")


async def test_a_model_without_a_thinking_block_writes_the_form_after_its_chain() -> None:
    steps = ("Two and two is 4.\n\n", "So \\boxed{8}.\n\n")
    engines = pair(base(steps, thinking=False, answer=""), small(steps, thinking=False))
    async with served(engines) as state:
        reply = await state.chat(response_format=FORMAT)
    last = engines["base"].calls[-1]
    assert last.sampling is not None
    assert last.sampling.constraint == Constraint("json", SCHEMA)
    assert last.prompt.text.endswith("So \\boxed{8}.\n\nFinal answer:\n")
    assert "Final answer" not in reply.text


async def test_an_answer_of_a_form_that_broke_off_is_written_anew() -> None:
    broken = base(
        ("That is all.\n</think>",),
        answer='{"value": 8}',
        failures={1: EngineUnavailable("gone", engine="base")},
        fails_after=1,
    )
    async with served(pair(broken), resume_within=5) as state:
        message = (await choice(state, model="scripted-base", response_format=FORMAT))["message"]
    assert message["content"] == '{"value": 8}'


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"response_format": FORMAT}, "response_format"),
        ({"structured_outputs": {"regex": "a"}}, "structured_outputs.regex"),
        ({"tools": [ADD], "tool_choice": "required"}, "tool_choice"),
    ],
)
async def test_a_server_that_cannot_keep_to_a_form_is_told_of(body: Json, field: str) -> None:
    able = small(answer='{"name": "add", "arguments": {}}')
    async with served(pair(base(constraints=()), able)) as state:
        error = (await state.chat(**body)).json()["error"]
        assert (error["code"], error["param"]) == ("unsupported_field", field)
        assert "describe the format in the prompt" in error["message"]
        assert (await state.chat(model="scripted-small", **body)).status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"response_format": FORMAT, "guided_regex": "a"}, "guided_regex"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs.choice"),
        ({"response_format": FORMAT, "tools": [ADD]}, "tools"),
        ({"tool_choice": {"type": "function", "function": {"name": "add"}}}, "tool_choice"),
        ({"tools": [ADD], "tool_choice": {"type": "function", "function": {"name": "sub"}}}, "tool_choice"),
        ({"structured_outputs": {"json": "no schema"}}, "structured_outputs.json"),
    ],
)
async def test_forms_that_clash_are_refused(body: Json, param: str) -> None:
    async with served() as state:
        reply = await state.chat(**body)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


# ---------------------------------------------------------------- tools


@pytest.mark.parametrize(
    "choice_of_tool", ["required", {"type": "function", "function": {"name": "weather"}}]
)
async def test_a_demanded_call_is_an_answer_of_that_form(choice_of_tool: Any) -> None:
    engines = pair(base(answer=CALL))
    async with served(engines) as state:
        told = await choice(state, tools=[WEATHER], tool_choice=choice_of_tool)
        assert told["finish_reason"] == "tool_calls"
        assert told["message"]["content"] is None
        assert told["message"]["reasoning"] == THINKING
        (call,) = told["message"]["tool_calls"]
        assert call["type"] == "function"
        assert call["function"]["name"] == "weather"
        assert json.loads(call["function"]["arguments"]) == {"city": "Bern"}
        deltas = [
            c["delta"]
            for chunk in await chunks(state, tools=[WEATHER], tool_choice="required")
            for c in chunk["choices"]
        ]
    assert [d["tool_calls"][0]["index"] for d in deltas if "tool_calls" in d] == [0]
    assert not any("content" in delta for delta in deltas)
    answering = constraints(engines["base"])[-1]
    assert answering is not None
    assert answering.value["properties"]["name"] == {"type": "string", "enum": ["weather"]}


async def test_a_call_that_did_not_fit_is_told_as_cut() -> None:
    async with served(pair(base(answer=CALL))) as state:
        told = await choice(state, tools=[WEATHER], tool_choice="required", max_completion_tokens=18)
        assert told["finish_reason"] == "length"
        assert "tool_calls" not in told["message"]


HERMES = f"I look it up.\n<tool_call>{CALL}</tool_call>"


async def test_a_free_answer_may_hold_calls() -> None:
    engines = pair(base(answer=HERMES))
    async with served(engines) as state:
        told = await choice(state, tools=[WEATHER, ADD])
        assert told["finish_reason"] == "tool_calls"
        assert told["message"]["content"] == "I look it up.\n"
        assert told["message"]["tool_calls"][0]["function"]["name"] == "weather"
        parts = await chunks(state, tools=[WEATHER, ADD])
        deltas = [c["delta"] for chunk in parts for c in chunk["choices"]]
        assert "".join(d.get("content", "") for d in deltas) == "I look it up.\n"
        assert [call["function"]["name"] for d in deltas for call in d.get("tool_calls", ())] == ["weather"]
        assert (await choice(state))["message"]["content"] == HERMES  # without tools it is text
        assert (await choice(state, tools=[WEATHER], tool_choice="none"))["finish_reason"] == "stop"
    assert set(constraints(engines["base"])) == {None}


async def test_a_free_answer_without_calls_is_streamed_as_ever() -> None:
    async with served() as state:
        deltas = [c["delta"] for chunk in await chunks(state, tools=[ADD]) for c in chunk["choices"]]
        assert [d["content"] for d in deltas if "content" in d] == ["It", " is", " \\boxed{8}."]


async def test_at_most_one_call_if_the_client_wants_no_more() -> None:
    two = f"<tool_call>{CALL}</tool_call><tool_call>{CALL}</tool_call>"
    async with served(pair(base(answer=two))) as state:
        assert len((await choice(state, tools=[WEATHER]))["message"]["tool_calls"]) == 2
        told = await choice(state, tools=[WEATHER], parallel_tool_calls=False)
        assert len(told["message"]["tool_calls"]) == 1


async def test_what_a_tool_gave_back_is_answered() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    turns = [
        {"role": "user", "content": "How warm is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "21 degrees"},
    ]
    engines = pair()
    async with served(engines) as state:
        told = await choice(state, messages=turns, tools=[WEATHER])
    assert told["message"]["content"] == ANSWER
    assert "21 degrees" in engines["base"].calls[0].prompt.text


async def test_a_model_without_a_thinking_block_calls_tools_in_its_reply() -> None:
    instruct = base((f"<tool_call>{CALL}</tool_call>",), thinking=False)
    async with served(pair(instruct, small(thinking=False))) as state:
        told = await choice(state, tools=[WEATHER])
    assert told["finish_reason"] == "tool_calls"
    assert told["message"]["tool_calls"][0]["function"]["name"] == "weather"
    assert told["message"]["reasoning"] == ""


# ---------------------------------------------------------------- turns to go on with


@pytest.mark.parametrize(
    "flags",
    [{}, {"continue_final_message": True, "add_generation_prompt": False}, {"add_generation_prompt": True}],
)
async def test_an_assistants_turn_is_gone_on_with(flags: Json) -> None:
    engines = pair(base(("It is 8.",), thinking=False), small(thinking=False))
    turns = [*asking()["messages"], {"role": "assistant", "content": "It is"}]
    async with served(engines) as state:
        told = await choice(state, messages=turns, **flags)
    assert (told["message"]["content"], told["message"]["reasoning"]) == (" 8.", "")
    (call,) = engines["base"].calls
    assert call.prompt.text.endswith("<|assistant|>It is")
    assert engines["small"].calls == []


@pytest.mark.parametrize("field", ["continue_final_message", "add_generation_prompt"])
async def test_there_must_be_a_turn_to_go_on_with(field: str) -> None:
    async with served() as state:
        reply = await state.chat(**{field: field == "continue_final_message"})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, field)
        blank = [*asking()["messages"], {"role": "assistant", "content": " "}]
        assert (await state.chat(messages=blank)).status_code == 400
