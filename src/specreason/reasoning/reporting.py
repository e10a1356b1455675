"""What a run reports in passing: who goes on alone, the plan, the drafts, and what was measured."""

from collections.abc import Iterable

from specreason.errors import EngineError
from specreason.reasoning.emitting import Emitter
from specreason.reasoning.events import Fallback, Planned, SignalMeasured, StepDrafted
from specreason.reasoning.planning.plan import Plan
from specreason.reasoning.schedules.contract import Drafted
from specreason.reasoning.signals.contract import Measured


class Reporter:
    """Emits each of them once."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._plan: Plan | None = None
        self._failure: EngineError | None = None

    async def fallback(self, failure: EngineError | None) -> None:
        """The small model failed, if it did."""
        if failure is not None and self._failure is None:
            self._failure = failure
            await self._emitter.emit(Fallback(self._emitter.now(), str(failure)))

    async def plan(self, plan: Plan, index: int) -> None:
        """The plan from step `index` on, if it is another one than before and there is a choice."""
        before, self._plan = self._plan, plan
        if plan != before and plan.reason:
            now, depth, repair = self._emitter.now(), plan.schedule.depth, plan.repair.name
            await self._emitter.emit(
                Planned(now, index, plan.author, depth, plan.drafts, repair, plan.reason)
            )

    async def drafts(self, drafted: Drafted, index: int) -> None:
        """The drafts of a step."""
        now, seconds = self._emitter.now(), drafted.seconds
        steps = enumerate(draft.step for draft in drafted.drafts)
        await self._emitter.emit(
            *(StepDrafted(now, index, s.text, s.tokens, seconds, s.end, sample) for sample, s in steps)
        )

    def signals(self, measured: Iterable[Measured], index: int) -> None:
        """What was measured for a step; it goes with the next event."""
        now = self._emitter.now()
        self._emitter.note(*(_event(now, index, one) for one in measured))

    def prefixes(self, measured: Iterable[tuple[Measured, int]], index: int) -> None:
        """What was measured of beginnings of a rejected draft, by their lengths in characters."""
        now = self._emitter.now()
        self._emitter.note(*(_event(now, index, one, prefix=length) for one, length in measured))


def _event(at: float, index: int, one: Measured, **more: int) -> SignalMeasured:
    read = one.reading
    details = {**read.details, **more}
    return SignalMeasured(at, index, one.draft, one.signal.name, read.value, one.seconds, details)
