"""The sections `[policy.NAME]`: the knobs of each policy that there is, from this package or another."""

from functools import cache
from typing import Any

from pydantic import Field, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema

from specreason.config.knobs import Section
from specreason.extensions import extensions


@cache
def policy_sections() -> type[Section]:
    """A section with one field for each policy that has knobs, holding the section of these."""
    fields: dict[str, Any] = {
        name: (policy.knobs, Field(default_factory=policy.knobs, description=f"Knobs of {name}."))
        for name, policy in extensions("policies").items()
        if policy.knobs.model_fields
    }
    return create_model("PolicySections", __base__=Section, **fields)


def default_policies() -> Section:
    """The knobs of all policies, none of them set."""
    return policy_sections()()


class EveryPolicy:
    """Marks the field `policy` of the settings: what it holds is known only once policies are found."""

    @staticmethod
    def __get_pydantic_core_schema__(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(policy_sections())


def knobs_of(sections: Section, policy: str) -> Section:
    """The knobs of one policy; an empty section for a policy that has none."""
    return getattr(sections, policy, None) or Section()
