"""Python clients with nothing but a base URL set.

The pocket pair has never seen JSON: what it writes in that form is as good as drawn at random, and small
numbers keep it short. That the form is kept to is what is tested.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

RIGHT = "\\boxed{64}"


class Result(BaseModel, extra="forbid"):
    """What comes out."""

    answer: Annotated[int, Field(ge=0, le=99)]


# ---------------------------------------------------------------- OpenAI


@pytest.fixture
def openai(url):
    from openai import OpenAI

    with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def test_openai_lists_chats_and_streams(openai, problem):
    models = [model.id for model in openai.models.list()]
    assert models[0] == "specreason"
    asked = {"model": "specreason", "messages": [{"role": "user", "content": problem}], "temperature": 0}
    reply = openai.chat.completions.create(**asked)
    assert RIGHT in reply.choices[0].message.content
    chunks = list(
        openai.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == reply.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == reply.usage.completion_tokens


def test_openai_parses(openai, problem):
    messages = [{"role": "user", "content": problem}]
    reply = openai.chat.completions.parse(model="specreason", messages=messages, response_format=Result)
    assert isinstance(reply.choices[0].message.parsed, Result)
    response = openai.responses.parse(model="specreason", input=problem, text_format=Result)
    assert isinstance(response.output_parsed, Result)


def test_openai_responds(openai, problem):
    response = openai.responses.create(model="specreason", input=problem, temperature=0)
    assert RIGHT in response.output_text
    with openai.responses.stream(model="specreason", input=problem, temperature=0) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert "".join(deltas) == response.output_text


# ---------------------------------------------------------------- LangChain


@pytest.fixture
def langchain(url):
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(base_url=url, api_key="none", model="specreason", temperature=0, max_retries=0)


def test_langchain_invokes_streams_and_goes_on(langchain, problem):
    from langchain_core.messages import HumanMessage

    asked = HumanMessage(problem, name="alice")
    reply = langchain.invoke([asked])
    assert RIGHT in reply.content
    assert "".join(chunk.content for chunk in langchain.stream([asked])) == reply.content
    assert langchain.invoke([asked, reply, asked]).content


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_gets_objects(langchain, problem, method):
    assert isinstance(langchain.with_structured_output(Result, method=method).invoke(problem), Result)


# ---------------------------------------------------------------- LiteLLM


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_litellm_goes_on_with_what_it_got(url, problem, provider, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    asked = [{"role": "user", "content": problem}]
    way = {"model": f"{provider}/specreason", "api_base": url, "api_key": "none", "temperature": 0}
    message = litellm.completion(messages=asked, **way).choices[0].message
    assert RIGHT in message.content
    assert "gives 64" in message.reasoning_content
    assert litellm.completion(messages=[*asked, message, *asked], **way).choices[0].message.content
    deltas = [chunk.choices[0].delta for chunk in litellm.completion(messages=asked, stream=True, **way)]
    assert "".join(delta.content or "" for delta in deltas) == message.content
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thought == message.reasoning_content


# ---------------------------------------------------------------- pydantic-ai


@pytest.fixture
def agent_model(url):
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIChatModel("specreason", provider=OpenAIProvider(base_url=url, api_key="none"))


def test_pydantic_ai_shows_thinking_once(agent_model, problem):
    from pydantic_ai import Agent

    agent = Agent(agent_model, model_settings={"temperature": 0})
    told = agent.run_sync(problem)
    assert RIGHT in told.output
    parts = [type(part).__name__ for message in told.all_messages() for part in message.parts]
    assert parts == ["UserPromptPart", "ThinkingPart", "TextPart"]
    assert agent.run_sync("And then?", message_history=told.all_messages()).output


def test_pydantic_ai_gets_objects(agent_model, problem):
    from pydantic_ai import Agent, NativeOutput

    for output in (Result, NativeOutput(Result)):
        assert isinstance(Agent(agent_model, output_type=output).run_sync(problem).output, Result)


def test_pydantic_ai_may_bring_tools(agent_model, problem):
    from pydantic_ai import Agent

    agent = Agent(agent_model, model_settings={"temperature": 0})
    agent.tool_plain(lambda: 1, name="one")
    assert RIGHT in agent.run_sync(problem).output  # the pocket pair calls none


# ---------------------------------------------------------------- llm


def test_llm_answers_in_the_terminal(url, problem, tmp_path):
    models = "- model_id: specreason\n  model_name: specreason\n  api_base: {}\n  api_key_name: none\n"
    (tmp_path / "extra-openai-models.yaml").write_text(models.format(url))
    program = Path(sys.executable).with_name("llm")
    for way in ([], ["--no-stream"]):
        done = subprocess.run(
            [program, "-m", "specreason", "--key", "none", "-o", "temperature", "0", *way, problem],
            env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert RIGHT in done.stdout
