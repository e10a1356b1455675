"""The messages of a conversation: as clients send them, and as chat templates take them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from specreason.engines.protocol import Message
from specreason.server.errors import Refused
from specreason.server.fields import Lenient, Object, Strict, neutral, no_effect


class TextPart(Strict):
    """A part of a message."""

    type: Literal["text"]
    text: str
    cache_control: Annotated[Object | None, no_effect()] = None


class AssistantPart(Lenient):
    """A part of an assistant message: text, or something else that a server sent (thinking, refusals)."""

    type: str
    text: str | None = None


class FunctionCall(Lenient):
    """A call of a tool, its arguments as JSON text."""

    name: str
    arguments: str


class ToolCall(Lenient):
    """A call of a tool that the assistant asked for."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class _Input(Strict):
    """What system, user and tool messages have in common."""

    content: Annotated[str | list[TextPart], Field(description="Text, or a list of text parts.")]
    name: Annotated[str | None, Field(description="Of the speaker; not shown to the models.")] = None
    id: Annotated[str | None, no_effect()] = None
    cache_control: Annotated[Object | None, no_effect()] = None


class SystemMessage(_Input):
    """Instructions for the whole conversation."""

    role: Literal["system", "developer"]


class UserMessage(_Input):
    """A message of the user."""

    role: Literal["user"]


class ToolMessage(_Input):
    """What a tool gave back."""

    role: Literal["tool"]
    tool_call_id: str | None = None


class AssistantMessage(Lenient):
    """An assistant message, as clients store it: unknown fields are ignored.

    `reasoning` is earlier thinking, `reasoning_content` its other name: whether the model sees it again is up
    to its chat template; most leave it out, except between tool calls.
    """

    role: Literal["assistant"]
    content: str | list[AssistantPart] | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: list[ToolCall] | None = None
    function_call: Annotated[None, neutral()] = None
    audio: Annotated[None, neutral()] = None


InputMessage = Annotated[
    SystemMessage | UserMessage | ToolMessage | AssistantMessage, Field(discriminator="role")
]
ROLES = frozenset({"system", "developer", "user", "tool", "assistant"})


class FunctionDefinition(Lenient):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    parameters: Object | None = None


class ToolDefinition(Lenient):
    """A tool that the model may call."""

    type: Literal["function"]
    function: FunctionDefinition


def conversation(messages: Sequence[InputMessage]) -> list[Message]:
    """The messages as templates read them. Raises Refused for an empty assistant message."""
    return [_message(n, message) for n, message in enumerate(messages)]


def definition(tool: ToolDefinition) -> dict[str, Any]:
    """A tool as templates read it."""
    return {"type": "function", "function": tool.function.model_dump(exclude_none=True)}


def _message(index: int, message: InputMessage) -> Message:
    text = _text(message.content)
    match message:
        case AssistantMessage():
            if message.content is None and not message.tool_calls:
                problem = (
                    f"'messages.{index}.content' is missing: an assistant message needs content or tool_calls"
                )
                raise Refused(problem, param=f"messages.{index}.content", code="missing_field")
            thought = message.reasoning_content or message.reasoning
            more = {
                "tool_calls": [_call(call) for call in message.tool_calls or ()],
                "reasoning_content": thought if isinstance(thought, str) else "",
            }
            given = {name: value for name, value in more.items() if value}
            return {"role": "assistant", "content": text, **given}
        case ToolMessage():
            named = {"tool_call_id": message.tool_call_id, "name": message.name}
            return {"role": "tool", "content": text} | {k: v for k, v in named.items() if v is not None}
        case SystemMessage():
            return {"role": "system", "content": text}
        case UserMessage():
            return {"role": "user", "content": text}


def _text(content: str | Sequence[TextPart | AssistantPart] | None) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.text or "" for part in content or () if part.type in {"text", "output_text"})


def _call(call: ToolCall) -> dict[str, Any]:
    return call.model_dump(exclude_none=True)
