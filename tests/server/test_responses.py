"""OpenAI's Responses API through the official client, and what is refused of it."""

from collections.abc import Generator
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from serving import ANSWER, THINKING, Json, base, pair, served, served_in_a_thread

from specreason import ServerSettings, Settings
from specreason.errors import EngineUnavailable

PROBLEM = "What is twice two and two?"
WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
CALL = '{"name": "weather", "arguments": {"city": "Bern"}}'


@pytest.fixture(scope="module")
def client() -> Generator[OpenAI]:
    with (
        served_in_a_thread(pair(), Settings(server=ServerSettings(port=0, concurrency=4))) as url,
        OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made,
    ):
        yield made


def test_a_response_holds_reasoning_answer_and_usage(client: OpenAI) -> None:
    response = client.responses.create(model="specreason", input=PROBLEM, instructions="Be brief.")
    assert response.output_text == ANSWER
    reasoning, message = response.output
    assert reasoning.type == "reasoning"
    assert reasoning.content is not None
    assert [part.text for part in reasoning.content] == [THINKING]
    assert reasoning.summary == []
    assert message.type == "message"
    assert message.status == "completed"
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens == 16
    assert response.usage.output_tokens == 19


def test_a_stream_tells_items_in_openais_order(client: OpenAI) -> None:
    events = list(client.responses.create(model="specreason", input=PROBLEM, stream=True))
    kinds = [event.type for event in events]
    assert [kind for n, kind in enumerate(kinds) if kinds[n - 1 : n] != [kind]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == ANSWER
    assert "".join(e.delta for e in events if e.type == "response.reasoning_text.delta") == THINKING
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == ANSWER


def test_who_asks_for_a_summary_gets_the_thinking_as_one(client: OpenAI) -> None:
    with client.responses.stream(
        model="specreason", input=PROBLEM, reasoning={"effort": "high", "summary": "auto"}
    ) as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()
    assert "response.reasoning_summary_text.delta" in kinds
    assert "response.reasoning_text.delta" not in kinds
    assert response.output[0].type == "reasoning"
    assert [part.text for part in response.output[0].summary] == [THINKING]


def test_a_conversation_is_sent_as_a_whole(client: OpenAI) -> None:
    first = client.responses.create(model="specreason", input=PROBLEM)
    turns: Any = [
        {"role": "user", "content": PROBLEM},
        *first.output,
        {"role": "user", "content": "And then?"},
    ]
    assert client.responses.create(model="specreason", input=turns, store=False).output_text == ANSWER


def test_a_cut_answer_is_incomplete(client: OpenAI) -> None:
    response = client.responses.create(model="specreason", input=PROBLEM, max_output_tokens=8)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content"),
        ({"input": []}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 3}, "max_tokens"),
    ],
)
def test_what_cannot_be_served_is_named(client: OpenAI, body: Json, param: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(model="specreason", input=PROBLEM, extra_body=body)
    assert refused.value.param == param


async def test_calls_of_tools_are_items() -> None:
    async with served(pair(base(answer=CALL))) as state:
        body: Json = {"input": PROBLEM, "tools": [WEATHER], "tool_choice": "required"}
        reply = (await state.client.post("/v1/responses", json=body)).json()
        call = reply["output"][-1]
        assert (call["type"], call["name"], call["arguments"]) == (
            "function_call",
            "weather",
            '{"city": "Bern"}',
        )
        text = (await state.client.post("/v1/responses", json={**body, "stream": True})).text
        assert "event: response.function_call_arguments.done" in text
        turns = [
            {"role": "user", "content": PROBLEM},
            *reply["output"],
            {"type": "function_call_output", "call_id": call["call_id"], "output": "21 degrees"},
        ]
        again = await state.client.post("/v1/responses", json={**body, "input": turns, "tool_choice": "auto"})
        assert again.status_code == 200


async def test_a_stream_that_breaks_ends_with_an_error() -> None:
    gone: Any = EngineUnavailable("http://10.1.2.3 is gone", engine="base")
    async with served(pair(base(fails_at={1: gone})), resume_within=0) as state:
        text = (await state.client.post("/v1/responses", json={"input": PROBLEM, "stream": True})).text
    *_, last = text.strip().split("\n\n")
    assert last.startswith("event: error\n")
    assert "engine_unavailable" in last
    assert "10.1.2.3" not in text
