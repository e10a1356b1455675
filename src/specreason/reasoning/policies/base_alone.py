"""The base model writes every step: what all speed-ups are measured against."""

from dataclasses import dataclass

from specreason.config.knobs import Section
from specreason.config.scheme import Role
from specreason.reasoning.policies.contract import Accept, Drafts, PolicySpec, StepStart, Write
from specreason.reasoning.signals.contract import Signals


@dataclass(frozen=True, slots=True)
class OneModel:
    """`role` writes everything, and everything is kept."""

    role: Role

    def author(self, start: StepStart, known: Signals) -> Write:
        """Always the one model."""
        return Write(self.role)

    def verdict(self, drafts: Drafts, known: Signals) -> Accept:
        """No draft is questioned."""
        return Accept()


POLICY = PolicySpec("base", Section, lambda knobs, task: OneModel("base"), roles=("base",))
