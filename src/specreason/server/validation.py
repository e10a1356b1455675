"""From what the parser of a body says to what its sender is told: the field, the value, and what is right."""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from specreason.server.errors import Refused
from specreason.server.wire import ChatRequest, InputMessage, Knobs, StreamOptions, neutral_fields

Problem = Mapping[str, Any]

_LONGEST_QUOTE = 100  # characters of a client's own that are repeated to it
_CLOSE = 0.7  # how alike a misspelt name and the right one are
_OBJECTS: Mapping[str, type[BaseModel]] = {
    "messages": InputMessage,
    "stream_options": StreamOptions,
    "specreason": Knobs,
}
_FIELDS = frozenset(name for model in (ChatRequest, *_OBJECTS.values()) for name in model.model_fields) | {
    "text",
    "type",
}
# Where a value may be of several kinds, the parser tells only of one of them.
_KINDS = {
    "stop": "must be a text or a list of at most 4 texts",
    "content": "must be a text or a list of text parts",
}
_MUST: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "bool_type": lambda _: "must be true or false",
    "int_type": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "finite_number": lambda _: "must be a finite number",
    "string_type": lambda _: "must be a text",
    "list_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be an object",
    "model_type": lambda _: "must be an object",
    "string_too_short": lambda _: "must not be empty",
    "too_short": lambda _: "must not be empty",
    "too_long": lambda told: f"must have at most {told['max_length']} entries",
    "greater_than": lambda told: f"must be greater than {_number(told['gt'])}",
    "greater_than_equal": lambda told: f"must be at least {_number(told['ge'])}",
    "less_than": lambda told: f"must be less than {_number(told['lt'])}",
    "less_than_equal": lambda told: f"must be at most {_number(told['le'])}",
    "literal_error": lambda told: f"must be {told['expected']}",
}


def refusal(problems: Sequence[Problem]) -> Refused:
    """A body that is not what the schema says: its first problem."""
    worst = max(problems, key=_weight)
    if worst["type"] == "json_invalid":
        return Refused(f"the body is not valid JSON: {worst['ctx']['error']}", code="invalid_json")
    path = [str(part) for part in worst["loc"]]
    names = [part for part in path if part in _FIELDS or part.isdecimal()]
    if worst["type"] == "extra_forbidden":
        name = ".".join([*(part for part in names if part != path[-1]), path[-1]])[:_LONGEST_QUOTE]
        return Refused(f"unknown field '{name}'; {_nearest(path)}", param=name, code="unknown_field")
    if not names:
        return Refused("the body must be a JSON object", code="invalid_body")
    param = ".".join(names)
    if worst["type"] == "missing":
        return Refused(f"'{param}' is missing", param=param, code="missing_field")
    if names[-1] in neutral_fields():
        message = f"'{param}' is not supported by this server; leave it out"
        return Refused(message, param=param, code="unsupported_field")
    return Refused(
        f"'{param}' {_shown(worst['input'])}; it {_must(worst, names[-1])}", param=param, code="invalid_value"
    )


def _weight(problem: Problem) -> tuple[int, bool]:
    """Of a union's branches the one that went furthest, or took the value's kind, tells what is wrong."""
    named = [part for part in problem["loc"] if part in _FIELDS or isinstance(part, int)]
    return len(named), not str(problem["type"]).endswith("_type")


def _must(problem: Problem, field: str) -> str:
    kind = str(problem["type"])
    if kind.endswith("_type") and field in _KINDS:
        return _KINDS[field]
    tell = _MUST.get(kind)
    return "has no value that is allowed here" if tell is None else tell(problem.get("ctx", {}))


def _shown(value: object) -> str:
    """What the client sent, unless that is long or has parts."""
    match value:
        case dict():
            return "is an object"
        case list():
            return f"is a list of {len(value)}"  # pyright: ignore[reportUnknownArgumentType]
        case _:
            text = json.dumps(value)
            return f"is {text}" if len(text) <= _LONGEST_QUOTE else "is a long text"


def _number(limit: float) -> str:
    return str(int(limit)) if float(limit).is_integer() else str(limit)


def _nearest(path: Sequence[str]) -> str:
    """A hint for a misspelt field, or for one that stands in the wrong object."""
    name = path[-1]
    inside = len(path) > 1 and path[0] in _OBJECTS
    place = _OBJECTS[path[0]] if inside else ChatRequest
    if not inside and name in Knobs.model_fields:
        return f"did you mean 'specreason.{name}'?"
    if inside and name in _offered(ChatRequest):
        return f"did you mean '{name}', outside of '{path[0]}'?"
    close = difflib.get_close_matches(name, _offered(place), n=1, cutoff=_CLOSE)
    return f"did you mean '{close[0]}'?" if close else "this API has no such field (docs/api.md)"


def _offered(place: type[BaseModel]) -> list[str]:
    return [name for name in place.model_fields if name not in neutral_fields()]
