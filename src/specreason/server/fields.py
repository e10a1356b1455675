"""Types of the fields of requests."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NEUTRAL = "Only the value that changes nothing is accepted; any other is refused."
NO_EFFECT = "Accepted, without effect."


class Strict(BaseModel):
    """An object of a request: unknown fields are errors, and no type is converted ("5" is not a number)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Lenient(BaseModel):
    """An object to which clients and gateways add fields of their own; unknown ones are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


def whole(value: object) -> object:
    """A number without a fraction as an int, anything else as it is."""
    # JSON has one type of number, and some languages write all of them with a decimal point.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Positive = Annotated[int, Field(ge=1), BeforeValidator(whole)]
NotNegative = Annotated[int, Field(ge=0), BeforeValidator(whole)]
Whole = Annotated[int, BeforeValidator(whole)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**64), BeforeValidator(whole)]
TopK = Annotated[int, Field(ge=-1), BeforeValidator(whole)]
Share = Annotated[float, Field(ge=0, le=1)]
NonEmpty = Annotated[str, Field(min_length=1)]
Object = dict[str, Any]
Nothing = Annotated[list[Any], Field(max_length=0)]
NoTable = Annotated[dict[str, Any], Field(max_length=0)]
Zero = Annotated[float, Field(ge=0, le=0)]
One = Annotated[float, Field(ge=1, le=1)]


def neutral() -> Any:
    """A field that is not supported: only its neutral value is accepted."""
    return Field(description=NEUTRAL)


def no_effect() -> Any:
    """A field without effect, whatever its value."""
    return Field(description=NO_EFFECT)
