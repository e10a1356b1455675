"""Kinds of fields that requests are made of."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NEUTRAL = "Only the value that asks for nothing is taken; anything else is refused."
NO_EFFECT = "Taken, of no effect here."


class Strict(BaseModel):
    """An object of a request: unknown fields are errors, so that nothing is ignored in silence.

    Nor is anything guessed: "yes" is no boolean, "5" is no number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Lenient(BaseModel):
    """An object that clients and their gateways put notes of their own into; those are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


def _whole(value: object) -> object:
    # JSON knows one kind of number, and some languages write every one of them with a point.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Positive = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
NotNegative = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Whole = Annotated[int, BeforeValidator(_whole)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**64), BeforeValidator(_whole)]
TopK = Annotated[int, Field(ge=-1), BeforeValidator(_whole)]
Share = Annotated[float, Field(ge=0, le=1)]
NonEmpty = Annotated[str, Field(min_length=1)]
Object = dict[str, Any]
Nothing = Annotated[list[Any], Field(max_length=0)]
NoTable = Annotated[dict[str, Any], Field(max_length=0)]
Zero = Annotated[float, Field(ge=0, le=0)]
One = Annotated[float, Field(ge=1, le=1)]


def neutral() -> Any:
    """A field that we do not honour: clients that send its neutral value are let in."""
    return Field(description=NEUTRAL)


def no_effect() -> Any:
    """A field that says nothing to us, whatever its value."""
    return Field(description=NO_EFFECT)
