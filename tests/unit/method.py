"""Settings of the method for tests, with the knobs of the paper's rule by their short names."""

from typing import Any

from specreason.config import Settings
from specreason.reasoning.policies.specreason import Knobs


def method(**given: Any) -> Settings:
    """Settings of `reasoning`, and of [policy.specreason] where they are knobs of that."""
    knobs = {name: given.pop(name) for name in list(given) if name in Knobs.model_fields}
    return Settings.model_validate({"reasoning": given, "policy": {"specreason": knobs}})
