"""The small model writes every step: how good it is by itself."""

from specreason.config.knobs import Section
from specreason.reasoning.policies.base_alone import OneModel
from specreason.reasoning.policies.contract import PolicySpec

POLICY = PolicySpec("small", Section, lambda knobs, task: OneModel("small"), roles=("small",))
