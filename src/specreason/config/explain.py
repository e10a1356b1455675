"""The reference of all settings, generated from their definitions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from specreason.config.load import env_name, leaves
from specreason.config.scheme import Scheme, known_schemes
from specreason.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting as documented: dotted key, type, default, valid range, unit, sentence, variable."""

    key: str
    type: str
    default: str
    range: str
    unit: str
    description: str
    env: str


def knobs(section: type[BaseModel] = Settings) -> Iterator[Knob]:
    """Every knob of `section`, in the order of its parts."""
    for key, field in leaves(section):
        extra: Any = field.json_schema_extra
        yield Knob(
            key=key,
            type=_type_name(field.annotation),
            default=_default(field),
            range=_range(field),
            unit=str(extra["unit"]) if extra else "",
            description=field.description or "",
            env=env_name(key),
        )


def as_markdown() -> str:
    """The configuration reference: one table a section."""
    lines: list[str] = []
    section = None
    for knob in knobs():
        head, _, leaf = knob.key.rpartition(".")
        if head != section:
            section = head
            title = f"[{head}]" if head else "top level"
            lines += ["", f"## `{title}`", "", "| key | type | default | range, unit | meaning |"]
            lines += ["| --- | --- | --- | --- | --- |"]
        span = ", ".join(part for part in (knob.range, knob.unit) if part)
        kind = knob.type.replace("|", "\\|")
        lines.append(f"| `{leaf}` | {kind} | `{knob.default}` | {span} | {knob.description} |")
    return "\n".join(lines).strip() + "\n"


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " | ".join(str(choice) for choice in get_args(kind))
    if kind is SecretStr:
        return "secret"
    if kind is Scheme:
        return " | ".join(known_schemes())
    if get_origin(kind) is list:
        return f"list of {_type_name(get_args(kind)[0])}"
    options = [_type_name(part) for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) is dict:
        return "table"
    return " | ".join(options) if options else str(getattr(kind, "__name__", kind))


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    match value:
        case None:
            return "unset"
        case bool():
            return str(value).lower()
        case str() | Scheme():
            return '"' + str(value).replace("\n", "\\n") + '"'
        case _:
            return str(value)


def _range(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {value:g}" if value < 2**31 else f"{sign} 2^32"
        for limit in field.metadata
        for name, sign in signs.items()
        if (value := getattr(limit, name, None)) is not None
    ]
    return " and ".join(found)
