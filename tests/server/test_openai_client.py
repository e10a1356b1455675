"""The official client, blocking and not, streamed and not, against a scripted pair."""

from collections.abc import Generator
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel
from serving import ANSWER, THINKING, base, pair, served, served_in_a_thread

from specreason import ServerSettings, Settings

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is twice two and two?"}]


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with served_in_a_thread(pair(), Settings(server=ServerSettings(port=0, concurrency=4))) as where:
        yield where


@pytest.fixture
def client(url: str) -> Generator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none") as made:
        yield made


def told(chunks: list[ChatCompletionChunk], field: str) -> str:
    deltas = [choice.delta.model_dump() for chunk in chunks for choice in chunk.choices]
    return "".join(delta.get(field) or "" for delta in deltas)


def test_blocking(client: OpenAI) -> None:
    reply = client.chat.completions.create(model="specreason", messages=MESSAGES)
    message = reply.choices[0].message
    assert message.content == ANSWER
    extra = message.model_extra or {}
    assert extra["reasoning"] == THINKING
    assert reply.usage is not None
    assert reply.usage.completion_tokens_details is not None
    assert reply.usage.completion_tokens_details.reasoning_tokens == 16


def test_blocking_and_streamed(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="specreason", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert told(chunks, "content") == ANSWER
    assert told(chunks, "reasoning") == THINKING
    assert chunks[-1].usage is not None
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_knobs_go_in_the_extra_body(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="specreason",
        messages=MESSAGES,
        reasoning_effort="low",
        temperature=0,
        seed=1,
        extra_body={"specreason": {"policy": {"specreason": {"threshold": 0}}, "include_steps": True}},
    )
    report = (reply.model_extra or {})["specreason"]
    assert [step["author"] for step in report["choices"][0]["steps"]] == ["small"] * 3


def test_errors_are_the_clients_own(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert unknown.value.param == "model"
    with pytest.raises(BadRequestError) as unsupported:
        client.chat.completions.create(model="specreason", messages=MESSAGES, logprobs=True)
    assert unsupported.value.param == "logprobs"
    assert next(model.id for model in client.models.list()) == "specreason"


def test_a_reply_can_be_sent_back_in_every_form(client: OpenAI) -> None:
    message = client.chat.completions.create(model="specreason", messages=MESSAGES).choices[0].message
    for sent in (message, message.model_dump(), message.model_dump(exclude_none=True), message.to_dict()):
        turns: Any = [*MESSAGES, sent, *MESSAGES]
        reply = client.chat.completions.create(model="specreason", messages=turns)
        assert reply.choices[0].message.content == ANSWER


class Result(BaseModel):
    value: int


def test_an_answer_is_parsed_into_an_object() -> None:
    engines = pair(base(answer='{"value": 8}'))
    with (
        served_in_a_thread(engines, Settings(server=ServerSettings(port=0))) as url,
        OpenAI(base_url=f"{url}/v1", api_key="none") as client,
    ):
        reply = client.chat.completions.parse(model="specreason", messages=MESSAGES, response_format=Result)
        assert reply.choices[0].message.parsed == Result(value=8)
        response = client.responses.parse(model="specreason", input="?", text_format=Result)
        assert response.output_parsed == Result(value=8)


async def test_async_and_streamed() -> None:
    async with served() as state, AsyncOpenAI(base_url=f"{state.url}/v1", api_key="none") as client:
        reply = await client.chat.completions.create(model="scripted-base", messages=MESSAGES, n=2)
        assert [choice.message.content for choice in reply.choices] == [ANSWER, ANSWER]
        stream = await client.chat.completions.create(model="specreason", messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
        assert told(chunks, "content") == ANSWER
        assert told(chunks, "reasoning") == THINKING
