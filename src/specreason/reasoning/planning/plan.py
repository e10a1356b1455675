"""How the next steps are to be written: by whom, and how much of it at the same time."""

from dataclasses import dataclass, field
from typing import Protocol

from specreason.config.scheme import Role
from specreason.reasoning.events import Event
from specreason.reasoning.repairs.contract import Repair
from specreason.reasoning.repairs.rewrite import Rewrite
from specreason.reasoning.schedules.contract import Schedule
from specreason.reasoning.schedules.sequential import Sequential


@dataclass(frozen=True, slots=True)
class Plan:
    """A value: plans that say the same are equal. All but `author` only matters for drafts."""

    author: Role = "small"
    """Who writes: small drafts, to be judged; base writes by itself."""
    schedule: Schedule = field(default_factory=Sequential)
    """What runs at the same time."""
    repair: Repair = field(default_factory=Rewrite)
    """What replaces a rejected draft."""
    drafts: int = 1
    """Drafts of each step."""
    reason: str = field(default="", compare=False)
    """Why it is so, for people; empty where there was no choice."""

    @property
    def lanes(self) -> int:
        """In how many places the small model may write at the same time."""
        return self.drafts * (self.drafts if self.schedule.branches else 1)


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
