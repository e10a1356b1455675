"""The body of POST /v1/responses, and the chat request that it is turned into."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from specreason.server.errors import Refused
from specreason.server.fields import (
    Lenient,
    NonEmpty,
    Object,
    Positive,
    Seed,
    Share,
    Strict,
    TopK,
    neutral,
    no_effect,
)
from specreason.server.neutral import Off, OfNoEffect, Unset
from specreason.server.overrides import RequestSettings
from specreason.server.wire import ChatRequest, Effort

_TEXTS = {"input_text", "output_text", "text"}
_STATE = "this server stores nothing: send the whole conversation in 'input'"


class InputPart(Lenient):
    """A part of a message."""

    type: str
    text: str | None = None


class InputItem(Lenient):
    """A message, a tool call, the output of a tool, or earlier reasoning (which is ignored)."""

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[InputPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[InputPart] | None = None


class ResponsesReasoning(Lenient):
    """How much to think, and whether the thinking is sent as a summary."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None

    @property
    def summarised(self) -> bool:
        """Whether a summary is asked for; the thinking itself is sent as the summary."""
        return bool(self.summary or self.generate_summary)


class TextFormat(Lenient):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema_: Annotated[Object | None, Field(alias="schema")] = None


class TextOptions(Strict):
    """How the answer is written."""

    format: TextFormat | None = None
    verbosity: Annotated[Literal["medium"] | None, neutral()] = None


class ResponsesTool(Lenient):
    """A function that the model may call."""

    type: Literal["function"]
    name: NonEmpty
    description: str | None = None
    parameters: Object | None = None


class ResponsesToolChoice(Strict):
    """The tool that is to be called."""

    type: Literal["function"]
    name: NonEmpty


class ResponsesRequest(OfNoEffect):
    """The body of POST /v1/responses."""

    model: Annotated[str | None, Field(description="As in chat completions.")] = None
    input: Annotated[str | list[InputItem], Field(description="The user's text, or the whole conversation.")]
    instructions: Annotated[str | None, Field(description="A system message before `input`.")] = None
    stream: bool | None = False
    stream_options: Annotated[Object | None, no_effect()] = None
    max_output_tokens: Annotated[Positive | None, Field(description="Thinking and answer together.")] = None
    reasoning: ResponsesReasoning | None = None
    text: TextOptions | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    top_k: TopK | None = None
    min_p: Share | None = None
    seed: Seed | None = None
    stop: NonEmpty | list[NonEmpty] | None = None
    tools: list[ResponsesTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ResponsesToolChoice | None = None
    parallel_tool_calls: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    specreason: RequestSettings | None = None

    include: Annotated[list[str] | None, no_effect()] = None
    previous_response_id: str | None = None
    conversation: Any = None
    background: Off = None
    truncation: Annotated[Literal["disabled"] | None, neutral()] = None
    service_tier: Annotated[Literal["auto", "default"] | None, neutral()] = None
    top_logprobs: Annotated[Literal[0] | None, neutral()] = None
    max_tool_calls: Unset = None
    prompt: Unset = None

    def sent(self, name: str) -> Any:
        """A field as it was sent."""
        return self.model_dump(mode="json", include={name}, exclude_none=True, by_alias=True).get(name)


def as_chat(body: ResponsesRequest) -> ChatRequest:
    """The same request for chat completions. Raises Refused for fields that need stored state."""
    for name in ("previous_response_id", "conversation"):
        if getattr(body, name) is not None:
            raise Refused(f"'{name}' is not supported; {_STATE}", param=name, code="unsupported_field")
    asked: dict[str, Any] = {
        "model": body.model,
        "messages": list(_messages(body)),
        "stream": body.stream,
        "max_completion_tokens": body.max_output_tokens,
        "reasoning_effort": body.reasoning.effort if body.reasoning else None,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "min_p": body.min_p,
        "seed": body.seed,
        "stop": body.stop,
        "tools": [_tool(tool) for tool in body.tools or ()],
        "tool_choice": _choice(body.tool_choice),
        "parallel_tool_calls": body.parallel_tool_calls,
        "response_format": _format(body.text.format) if body.text and body.text.format else None,
        "user": body.user,
        "safety_identifier": body.safety_identifier,
        "specreason": body.sent("specreason"),
    }
    return ChatRequest.model_validate_json(json.dumps(asked))


def _messages(body: ResponsesRequest) -> Iterator[dict[str, Any]]:
    if body.instructions:
        yield {"role": "system", "content": body.instructions}
    if isinstance(body.input, str):
        yield {"role": "user", "content": body.input}
        return
    if not body.input:
        raise Refused("'input' is an empty list; send the conversation", param="input", code="invalid_value")
    calls: dict[str, Any] | None = None  # an assistant message with tool calls: one item per call
    for n, item in enumerate(body.input):
        if item.type == "function_call":
            calls = calls or {"role": "assistant", "content": "", "tool_calls": []}
            calls["tool_calls"].append(
                {
                    "id": item.call_id,
                    "type": "function",
                    "function": {"name": item.name or "", "arguments": item.arguments or "{}"},
                }
            )
            continue
        if calls is not None:
            yield calls
            calls = None
        if item.type == "function_call_output":
            content = _text(item.output, f"input.{n}.output")
            yield {"role": "tool", "tool_call_id": item.call_id, "content": content}
        elif item.type == "message" and item.role is not None:
            yield {"role": item.role, "content": _text(item.content, f"input.{n}.content")}
        elif item.type != "reasoning":
            hint = f"; {_STATE}" if item.type == "item_reference" else ""
            kind = item.type[:100] if item.type != "message" else "message without a role"
            raise Refused(
                f"'input.{n}' is a {kind}, which this server cannot use{hint}",
                param=f"input.{n}",
                code="unsupported_field",
            )
    if calls is not None:
        yield calls


def _text(content: str | list[InputPart] | None, param: str) -> str:
    if isinstance(content, str):
        return content
    for part in content or ():
        if part.type not in _TEXTS | {"refusal"}:
            problem = f"'{param}' has a part '{part.type[:100]}'; this server accepts text only"
            raise Refused(problem, param=param, code="unsupported_field")
    return "".join(part.text or "" for part in content or ())


def _tool(tool: ResponsesTool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _choice(choice: str | ResponsesToolChoice | None) -> Any:
    if isinstance(choice, ResponsesToolChoice):
        return {"type": "function", "function": {"name": choice.name}}
    return choice


def _format(form: TextFormat) -> dict[str, Any]:
    if form.type != "json_schema":
        return {"type": form.type}
    return {"type": form.type, "json_schema": {"name": form.name, "schema": form.schema_}}
