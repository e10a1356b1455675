"""Structured output and tool calls: what a request asks the answer to look like."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from specreason.engines.protocol import Constraint
from specreason.server.errors import Refused, conflict
from specreason.server.messages import FunctionDefinition, ToolDefinition, definition
from specreason.server.tool_calls import CallReader, call_schema
from specreason.server.wire import ChatRequest, NamedTool


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """`field`: of the request, which asks for the constraint. `tools`: as templates read them.

    `demanded`: the answer is a call of one of them; else it may contain calls.
    """

    constraint: Constraint | None = None
    field: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    demanded: bool = False

    @property
    def reader(self) -> CallReader | None:
        """Reads the calls in an answer; None if the request has no tools."""
        names = frozenset(str(tool["function"]["name"]) for tool in self.tools)
        return CallReader(names, demanded=self.demanded) if names else None


def answer_form(body: ChatRequest) -> AnswerForm:
    """The form that a request asks for. Raises Refused, which names the field."""
    asked = list(_constraints(body))
    choice = body.tool_choice
    if not body.tools and (choice == "required" or isinstance(choice, NamedTool)):
        raise conflict("tool_choice", "'tool_choice' asks for a tool, but there are no 'tools'")
    tools = body.tools if body.tools and choice != "none" else []
    if len(asked) + bool(tools) > 1:
        names = [name for name, _ in asked] + ["tools"] * bool(tools)
        message = f"'{names[0]}' and '{names[1]}' both set the format of the answer; give one of them"
        raise conflict(names[1], message)
    if asked:
        return AnswerForm(asked[0][1], asked[0][0])
    definitions = tuple(definition(tool) for tool in tools)
    if not tools or choice in {None, "auto"}:
        return AnswerForm(tools=definitions)
    schema = call_schema(_callable(tools, choice))
    return AnswerForm(Constraint("json", schema), "tool_choice", definitions, demanded=True)


def _callable(tools: Sequence[ToolDefinition], choice: object) -> list[FunctionDefinition]:
    functions = [tool.function for tool in tools]
    if not isinstance(choice, NamedTool):
        return functions
    named = [function for function in functions if function.name == choice.function.name]
    if not named:
        raise Refused(
            f"'tool_choice' names '{choice.function.name[:100]}', which is not in 'tools'",
            param="tool_choice",
            code="invalid_value",
        )
    return named


def _constraints(body: ChatRequest) -> Iterator[tuple[str, Constraint]]:
    """Each constraint that the request asks for, and the field that does."""
    form = body.response_format
    if form is not None and form.type == "json_object":
        yield "response_format", Constraint("json", {"type": "object"})
    elif form is not None and form.type == "json_schema":
        if form.json_schema is None or form.json_schema.schema_ is None:
            param = "response_format.json_schema.schema"
            raise Refused(f"'{param}' is missing", param=param, code="missing_field")
        yield "response_format", Constraint("json", form.json_schema.schema_)
    new = body.structured_outputs
    if new is not None:
        yield from _given("structured_outputs.", new.json_, new.regex, new.choice, new.grammar)
        if new.json_object:
            yield "structured_outputs.json_object", Constraint("json", {"type": "object"})
    yield from _given("guided_", body.guided_json, body.guided_regex, body.guided_choice, body.guided_grammar)


def _given(
    prefix: str,
    schema: dict[str, Any] | str | None,
    regex: str | None,
    choice: list[str] | None,
    grammar: str | None,
) -> Iterator[tuple[str, Constraint]]:
    if schema is not None:
        yield f"{prefix}json", Constraint("json", _schema(f"{prefix}json", schema))
    if regex is not None:
        yield f"{prefix}regex", Constraint("regex", regex)
    if choice is not None:
        yield f"{prefix}choice", Constraint("choice", tuple(choice))
    if grammar is not None:
        yield f"{prefix}grammar", Constraint("grammar", grammar)


def _schema(param: str, schema: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(schema, dict):
        return schema
    try:
        read: Any = json.loads(schema)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise Refused(f"'{param}' must be a JSON schema", param=param, code="invalid_value")
    return cast("dict[str, Any]", read)
