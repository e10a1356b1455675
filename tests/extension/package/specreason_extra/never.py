"""A policy of no use: it asks the small model about every draft, and then rejects it."""

from dataclasses import dataclass

from specreason import Accept, Drafts, More, PolicySpec, Reject, Signal, Signals, StepStart, Task, Write
from specreason.config.knobs import Section
from specreason_extra.doubt import self_trust


@dataclass(frozen=True)
class Never:
    trust: Signal[float]

    def author(self, start: StepStart, known: Signals) -> Write | More:
        return Write("small")

    def verdict(self, drafts: Drafts, known: Signals) -> Accept | Reject | More:
        return Reject("never") if known.of(self.trust) else More(self.trust)


async def make(knobs: Section, task: Task) -> Never:
    return Never(await self_trust(task))


POLICY = PolicySpec("never", Section, make)
