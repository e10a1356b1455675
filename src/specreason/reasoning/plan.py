"""How the next steps are to be written: by whom, and how much of it at the same time."""

from dataclasses import dataclass, field
from typing import Protocol

from specreason.reasoning.chain import Role
from specreason.reasoning.events import Event


@dataclass(frozen=True, slots=True)
class Plan:
    """`author`: small (drafts, to be judged) or base. The others only matter for drafts.

    `lookahead`: how many steps the drafts run ahead. `drafts`: of each step. `hedge`: the base model begins
    its own step while a draft is written and judged. `branches`: of several drafts that are being judged,
    each is run ahead of, not the favourite alone. `reason` is for people.
    """

    author: Role = "small"
    lookahead: int = 0
    drafts: int = 1
    hedge: bool = False
    branches: bool = False
    reason: str = field(default="", compare=False)

    @property
    def pens(self) -> int:
        """In how many places the small model may write at the same time."""
        return self.drafts * (self.drafts if self.branches else 1)


class Planner(Protocol):
    """Plans before each step, from what it has seen so far."""

    @property
    def most(self) -> Plan:
        """The most that it will ever ask for, so that room can be made for it."""
        ...

    def plan(self) -> Plan:
        """For the next step."""
        ...

    def take(self, event: Event) -> None:
        """Learn from what happened."""
        ...


@dataclass(frozen=True, slots=True)
class Always:
    """The same plan for every step."""

    most: Plan = Plan()

    def plan(self) -> Plan:
        """See `Planner.plan`."""
        return self.most

    def take(self, event: Event) -> None:
        """There is nothing to learn."""
