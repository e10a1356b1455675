"""One model writes every step: the baselines `base` and `small`."""

from dataclasses import dataclass

from specreason.reasoning.chain import Role
from specreason.reasoning.policies.contract import Accept, Boundary, Known, More, Reject, Write
from specreason.reasoning.steps import Step


@dataclass(frozen=True, slots=True)
class SinglePolicy:
    """`role` writes everything, and everything stands."""

    role: Role

    @property
    def name(self) -> str:
        """The role is the scheme's name."""
        return self.role

    @property
    def roles(self) -> tuple[Role, ...]:
        """Only the one model."""
        return (self.role,)

    def author(self, boundary: Boundary, known: Known) -> Write | More:
        """Always the one model."""
        return Write(self.role)

    def verdict(self, draft: Step, known: Known) -> Accept | Reject | More:
        """No draft is questioned."""
        return Accept()
