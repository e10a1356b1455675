"""The same plan for every step."""

from dataclasses import dataclass, field

from specreason.reasoning.events import Event
from specreason.reasoning.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class Fixed:
    """See `Planner`."""

    most: Plan = field(default_factory=Plan)

    def plan(self) -> Plan:
        """See `Planner.plan`."""
        return self.most

    def take(self, event: Event) -> None:
        """There is nothing to learn."""
