"""A scheme: the policy by its name, and whether the base model writes with token-level speculation."""

import difflib
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from specreason.extensions import broken, extensions

Role = Literal["base", "small"]
_DECODE = "+decode"


@dataclass(frozen=True, slots=True)
class Scheme:
    """`<policy>` or `<policy>+decode`, parsed. As text it is what it was parsed from."""

    policy: str
    decode: bool = False

    @classmethod
    def parse(cls, value: object) -> "Scheme":
        """The scheme that `value` names. Raises ValueError with the nearest name that there is."""
        if isinstance(value, Scheme):
            return value
        if fault := broken("policies").get(str(value).partition("+")[0]):
            raise ValueError(fault)
        if value not in known_schemes():
            close = difflib.get_close_matches(str(value), known_schemes(), n=1, cutoff=0.3)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ValueError(f"it must be one of {', '.join(known_schemes())}{hint}")
        policy, plus, _ = str(value).partition("+")
        return cls(policy, bool(plus))

    @property
    def roles(self) -> tuple[Role, ...]:
        """The models that write and judge under this scheme."""
        return extensions("policies")[self.policy].roles

    @property
    def speculates(self) -> bool:
        """Whether the small model drafts and the base model can replace what it drafts."""
        return len(self.roles) > 1

    @property
    def alone(self) -> Role | None:
        """The one model that writes everything; None where there are two."""
        return None if self.speculates else self.roles[0]

    def __str__(self) -> str:
        return f"{self.policy}{_DECODE if self.decode else ''}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        as_text = core_schema.plain_serializer_function_ser_schema(
            str, return_schema=core_schema.str_schema()
        )
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=as_text)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "enum": known_schemes()}


def known_schemes() -> list[str]:
    """Every scheme as text: each policy, and with `+decode` each in which the base model writes."""
    policies = extensions("policies")
    return [*policies, *(f"{name}{_DECODE}" for name, policy in policies.items() if "base" in policy.roles)]
