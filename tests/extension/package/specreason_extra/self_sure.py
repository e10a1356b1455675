"""A policy with a knob and a signal of its own: the small model's steps are accepted where it trusts them."""

from dataclasses import dataclass
from typing import Annotated

from specreason import Accept, Drafts, More, PolicySpec, Reject, Signal, Signals, StepStart, Task, Write
from specreason.config.knobs import Section, knob
from specreason_extra.doubt import self_trust


class Knobs(Section):
    """When a step is trusted."""

    least: Annotated[float, knob("Least trust of the small model in its own step.", ge=0, le=1)] = 0.5


@dataclass(frozen=True)
class SelfSure:
    trust: Signal[float]
    least: float

    def author(self, start: StepStart, known: Signals) -> Write | More:
        return Write("small")

    def verdict(self, drafts: Drafts, known: Signals) -> Accept | Reject | More:
        trust = known.get(self.trust, drafts.favourite)
        if trust is None:
            return More(self.trust, drafts=(drafts.favourite,))
        return Accept(drafts.favourite) if trust >= self.least else Reject("doubt")


async def make(knobs: Knobs, task: Task) -> SelfSure:
    return SelfSure(await self_trust(task), knobs.least)


POLICY = PolicySpec("self_sure", Knobs, make)
