"""Error messages for bodies that do not fit the schema: the field, its value, and what is valid."""

import difflib
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from specreason.config.load import leaves
from specreason.server.errors import Refused
from specreason.server.fields import NEUTRAL
from specreason.server.messages import ROLES
from specreason.server.overrides import RequestSettings

Problem = Mapping[str, Any]

_LONGEST_QUOTE = 100  # characters of a request that an error message quotes
_CLOSE = 0.7  # how alike a misspelt name and the right one are
# Where a value may have several types, the parser names only one of them.
_KINDS = {
    "stop": "must be a string or a list of strings",
    "input": "must be a string or a list of items",
    "content": "must be a string or a list of text parts",
}
_MUST: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "bool_type": lambda _: "must be true or false",
    "int_type": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "finite_number": lambda _: "must be a finite number",
    "string_type": lambda _: "must be a string",
    "list_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be an object",
    "model_type": lambda _: "must be an object",
    "string_too_short": lambda _: "must not be empty",
    "too_short": lambda _: "must not be empty",
    "too_long": lambda limits: f"must have at most {limits['max_length']} entries",
    "greater_than": lambda limits: f"must be greater than {_number(limits['gt'])}",
    "greater_than_equal": lambda limits: f"must be at least {_number(limits['ge'])}",
    "less_than": lambda limits: f"must be less than {_number(limits['lt'])}",
    "less_than_equal": lambda limits: f"must be at most {_number(limits['le'])}",
    "literal_error": lambda limits: f"must be {limits['expected']}",
    "value_error": lambda limits: str(limits["error"]).removeprefix("it "),  # of the setting's own check
}


def refusal(problems: Sequence[Problem], body: type[BaseModel]) -> Refused:
    """A body that is not what the schema of `body` says: its first problem."""
    fields = _fields_of(body)
    worst = max(problems, key=lambda problem: _weight(problem, fields))
    if worst["type"] == "json_invalid":
        return Refused(f"the body is not valid JSON: {worst['ctx']['error']}", code="invalid_json")
    path = _path(worst)
    names = [part for part in path if part in fields or part.isdecimal()]
    if worst["type"] == "extra_forbidden":
        name = ".".join([*(part for part in names if part != path[-1]), path[-1]])[:_LONGEST_QUOTE]
        return Refused(f"unknown field '{name}'; {_nearest(path, body)}", param=name, code="unknown_field")
    if not names:
        return Refused("the body must be a JSON object", code="invalid_body")
    param = ".".join(names)
    if worst["type"].startswith("union_tag"):
        return _wrong_role(worst, f"{param}.role")
    return _wrong_value(worst, param, unsupported=names[-1] in neutral_fields(body))


def _wrong_value(worst: Problem, param: str, *, unsupported: bool) -> Refused:
    field = param.rpartition(".")[2]
    if worst["type"] == "missing":
        return Refused(f"'{param}' is missing", param=param, code="missing_field")
    if unsupported:
        message = f"'{param}' is not supported by this server with this value; leave it out"
        return Refused(message, param=param, code="unsupported_field")
    return Refused(
        f"'{param}' {_shown(worst['input'])}; it {_must(worst, field)}", param=param, code="invalid_value"
    )


def _path(problem: Problem) -> list[str]:
    """Where a problem is, without the role that the parser adds after the index of a message."""
    loc = problem["loc"]
    return [
        str(part)
        for n, part in enumerate(loc)
        if not (part in ROLES and n > 0 and isinstance(loc[n - 1], int) and n < len(loc) - 1)
    ]


def _wrong_role(problem: Problem, param: str) -> Refused:
    if problem["type"] == "union_tag_not_found":
        return Refused(f"'{param}' is missing", param=param, code="missing_field")
    role = str(problem["ctx"]["tag"])[:_LONGEST_QUOTE]
    kinds = problem["ctx"]["expected_tags"]
    return Refused(f"'{param}' is \"{role}\"; it must be one of {kinds}", param=param, code="invalid_value")


def _weight(problem: Problem, fields: frozenset[str]) -> tuple[int, bool]:
    """Of the branches of a union, the one that got furthest, or matched the type, says what is wrong."""
    named = [part for part in problem["loc"] if part in fields or isinstance(part, int)]
    return len(named), not str(problem["type"]).endswith("_type")


def _must(problem: Problem, field: str) -> str:
    kind = str(problem["type"])
    if kind.endswith("_type") and field in _KINDS:
        return _KINDS[field]
    message = _MUST.get(kind)
    return "has a value that is not allowed" if message is None else message(problem.get("ctx", {}))


def _shown(value: object) -> str:
    """What the client sent, unless that is long or has parts."""
    match value:
        case dict():
            return "is an object"
        case list():
            return f"is a list of {len(value)}"  # pyright: ignore[reportUnknownArgumentType]
        case _:
            text = json.dumps(value)
            return f"is {text}" if len(text) <= _LONGEST_QUOTE else "is a long string"


def _number(limit: float) -> str:
    return str(int(limit)) if float(limit).is_integer() else str(limit)


def _nearest(path: Sequence[str], body: type[BaseModel]) -> str:
    """A hint for a misspelt field, or for one in the wrong object."""
    name = path[-1]
    inside = len(path) > 1
    place = _place(path[:-1], body)
    knobs: Mapping[str, str] = _knobs() if _place(path[:1], body) in {None, RequestSettings} else {}
    if name in knobs:
        return f"did you mean '{knobs[name]}'?"
    if "." in name:
        nested = "..."
        for part in reversed(name.split(".")):
            nested = json.dumps({part: "@"}).replace('"@"', nested)
        return f"write objects inside objects: {nested}"
    if inside and name in _offered(body):
        return f"did you mean '{name}', outside of '{path[0]}'?"
    for names in ({name: name for name in _offered(place)} if place else {}, knobs):
        for close in difflib.get_close_matches(name, names, n=1, cutoff=_CLOSE):
            return f"did you mean '{names[close]}'?"
    return "this API has no such field (docs/api.md)"


@cache
def _knobs() -> Mapping[str, str]:
    """Where each setting of the method stands in a request, by its last name."""
    return {key.rpartition(".")[2]: f"specreason.{key}" for key, _ in leaves(RequestSettings)}


def _offered(place: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in place.model_fields.items() if field.description != NEUTRAL]


def _place(path: Sequence[str], body: type[BaseModel]) -> type[BaseModel] | None:
    """The kind of object that `path` leads to; the first of them where there are several."""
    place: type[BaseModel] | None = body
    for part in path:
        if part.isdecimal() or place is None:
            continue
        field = place.model_fields.get(part)
        place = next(_models_in(field.annotation), None) if field else None
    return place


@cache
def _all_models(body: type[BaseModel]) -> tuple[type[BaseModel], ...]:
    found: dict[type[BaseModel], None] = {body: None}
    ahead = [body]
    while ahead:
        for field in ahead.pop().model_fields.values():
            new = [model for model in _models_in(field.annotation) if model not in found]
            found |= dict.fromkeys(new)
            ahead += new
    return tuple(found)


@cache
def _fields_of(body: type[BaseModel]) -> frozenset[str]:
    return frozenset(
        field.alias or name for model in _all_models(body) for name, field in model.model_fields.items()
    )


@cache
def neutral_fields(body: type[BaseModel]) -> frozenset[str]:
    """The names of the fields in `body` that are refused unless they change nothing."""
    return frozenset(
        name
        for model in _all_models(body)
        for name, field in model.model_fields.items()
        if field.description == NEUTRAL
    )


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The kinds of objects that a field may contain."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for part in typing.get_args(annotation):
        yield from _models_in(part)
