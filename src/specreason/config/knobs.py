"""What settings are made of: sections that refuse unknown keys, and knobs that explain themselves."""

from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.fields import FieldInfo

Unit = Literal[
    "tokens",
    "seconds",
    "steps",
    "score",
    "attempts",
    "threads",
    "layers",
    "requests",
    "problems",
    "bytes",
    "choices",
    "drafts",
]


def knob(
    description: str,
    *,
    unit: Unit | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> FieldInfo:
    """A setting: one sentence, its unit and its range (`ge`, `gt`, `le`, `lt` in that unit)."""
    extra: dict[str, JsonValue] | None = {"unit": unit} if unit else None
    return cast(
        "FieldInfo", Field(description=description, json_schema_extra=extra, ge=ge, gt=gt, le=le, lt=lt)
    )


class Section(BaseModel):
    """A table of the TOML file."""

    # `extra=forbid`: a misspelt key must be an error, never a silent default.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
