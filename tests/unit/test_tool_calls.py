"""Calls of tools in an answer: the forms that models write, and what stays text."""

import json

import pytest

from specreason.server.errors import Refused
from specreason.server.messages import FunctionDefinition
from specreason.server.tool_calls import CallReader, call_schema

NAMES = {"weather", "add"}
BERN = {"city": "Bern"}


def read(text: str, *, by: int = 1000, demanded: bool = False) -> tuple[str, list[tuple[str, object]]]:
    """What is told of `text`, given in pieces of `by` characters, and the calls."""
    reader = CallReader(NAMES, demanded=demanded)
    told = "".join(reader.take(text[at : at + by]) for at in range(0, len(text), by))
    rest, calls = reader.end()
    return told + rest, [(call.name, json.loads(call.arguments)) for call in calls]


CALLS = [
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>',
    '{"name": "weather", "parameters": {"city": "Bern"}}',
    '<|python_tag|>{"name": "weather", "parameters": {"city": "Bern"}}',
    '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Bern"}}]',
    '[TOOL_CALLS]weather[ARGS]{"city": "Bern"}',
]
SEVERAL = [
    '<tool_call>{"name": "weather", "arguments": {"city": "Bern"}}</tool_call>\n'
    '<tool_call>{"name": "add", "arguments": {}}</tool_call>',
    '{"name": "weather", "parameters": {"city": "Bern"}}; {"name": "add", "parameters": {}}',
    '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Bern"}}, {"name": "add", "arguments": {}}]',
    '[TOOL_CALLS]weather[ARGS]{"city": "Bern"}[TOOL_CALLS]add[ARGS]{}',
]


@pytest.mark.parametrize("by", [1, 7, 1000])
@pytest.mark.parametrize("text", CALLS)
def test_a_call_is_read_in_each_form(text: str, by: int) -> None:
    assert read(text, by=by) == ("", [("weather", BERN)])


@pytest.mark.parametrize("text", SEVERAL)
def test_several_calls_are_read(text: str) -> None:
    assert read(text) == ("", [("weather", BERN), ("add", {})])


@pytest.mark.parametrize("by", [1, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "It is 8.",
        "a < b and b <tool",
        '{"city": "Bern"}',
        '{"name": "weather"',
        '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
        "<tool_call>not JSON</tool_call>",
        '{"name": ["weather"], "arguments": {}}',
        "  \n",
    ],
)
def test_what_is_no_call_stays_text(text: str, by: int) -> None:
    assert read(text, by=by) == (text, [])


def test_text_before_a_call_is_told_before_the_call_is_there() -> None:
    reader = CallReader(NAMES)
    assert reader.take("I look it up.\n<tool") == "I look it up.\n"
    assert reader.take('_call>{"name": "add", "arguments": {}}') == ""
    rest, calls = reader.end()
    assert (rest, [call.name for call in calls]) == ("", ["add"])
    assert len({call.id for _ in range(3) for call in [*calls]}) == 1


def test_a_demanded_call_that_was_cut_short_stays_text() -> None:
    assert read('{"name": "add", "argum', by=3, demanded=True) == ('{"name": "add", "argum', [])


def test_the_schema_of_a_call_keeps_the_references_of_its_parameters() -> None:
    where = {"$defs": {"Place": {"type": "string"}}, "properties": {"city": {"$ref": "#/$defs/Place"}}}
    one = FunctionDefinition(name="weather", parameters=where)
    schema = call_schema([one])
    assert schema["$defs"] == {"Place": {"type": "string"}}
    assert schema["properties"]["arguments"] == {"properties": {"city": {"$ref": "#/$defs/Place"}}}
    both = call_schema([one, FunctionDefinition(name="add")])
    assert [call["properties"]["name"]["enum"] for call in both["anyOf"]] == [["weather"], ["add"]]
    other = FunctionDefinition(name="add", parameters={"$defs": {"Place": {"type": "integer"}}})
    with pytest.raises(Refused, match="Place"):
        call_schema([one, other])
