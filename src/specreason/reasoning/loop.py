"""One problem from question to answer: who writes, what is kept, when thinking ends."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from specreason.errors import EngineError, PolicyError
from specreason.reasoning.answering import Answer
from specreason.reasoning.chain import Chain
from specreason.reasoning.emitting import Emitter
from specreason.reasoning.events import Event, Failed, Interrupted, StepKept, StepRejected, ThinkingEnded
from specreason.reasoning.keeping import draft_record, replaced_record, unasked_record
from specreason.reasoning.planning.plan import Plan
from specreason.reasoning.policies.contract import Reject
from specreason.reasoning.records import StepRecord
from specreason.reasoning.repairs.contract import Rejected, Replacement
from specreason.reasoning.reporting import Reporter
from specreason.reasoning.resuming import Resuming
from specreason.reasoning.run import Run
from specreason.reasoning.schedules.contract import Drafted, DrafterFailed, Verified
from specreason.reasoning.signals.measuring import Measuring
from specreason.reasoning.speculation import Speculating
from specreason.reasoning.steps import Step
from specreason.reasoning.thinking import Thinking
from specreason.reasoning.writers import Writers


class Loop:
    """One run. Raises ContextOverflow if the problem leaves no room to think."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.thinking = Thinking(run)
        self.emitter = Emitter()
        self.writers = Writers(run, self.emitter.call_ended)
        self.measuring = Measuring(run, self.thinking, self.writers, self.emitter.call_ended)
        self.answer = Answer(run, self.thinking, self.writers, self.emitter)
        self.report = Reporter(self.emitter)
        self.emit, self.now = self.emitter.emit, self.emitter.now

    async def events(self) -> AsyncGenerator[Event, None]:
        """Think, then answer. Raises EngineError after a `Failed` event if the run cannot go on."""
        try:
            async with aclosing(self.emitter.events_of(self._solve())) as events:
                async for event in events:
                    yield event
        finally:
            await self.writers.pause_all()
            for engine in (*self.run.engines.values(), *self.run.writers.values()):
                engine.end_session(self.run.session)

    async def _solve(self) -> None:
        resuming = Resuming(self.run.options.resume_within, "base" if "base" in self.run.turns else "small")
        self.emitter.listeners += [self.run.planner.take, resuming.note]
        try:
            await resuming.run(self.think, self._stop, self._interrupted)
            ended, chain = self.thinking.ended or "stopped", self.thinking.chain
            await self.emit(ThinkingEnded(self.now(), ended, chain.length, chain.tokens))
            await resuming.run(self.answer.write, self._stop, self._interrupted)
        except (EngineError, PolicyError) as error:
            await self.writers.pause_all()
            await self.emit(Failed(self.now(), type(error).__name__, str(error)))
            raise

    async def think(self) -> None:
        """Step after step, until the chain has ended."""
        while self.thinking.ended is None:
            plan = self.run.planner.plan()
            await self.report.fallback(self.writers.failure)
            await self.report.plan(plan, self.thinking.chain.length)
            work = Speculating(self.run, self.thinking, self.writers, self.measuring, plan)
            roles = self.writers.roles
            by_base = roles == ("base",) or (plan.author == "base" and "base" in roles)
            try:
                if by_base or await work.author(self.thinking.chain) == "base":
                    await self.write(plan)
                else:
                    await self.speculate(work, plan)
            except DrafterFailed as failed:
                await self.writers.fall_back(failed.error)
                self.thinking.without_small()
        await self.writers.pause_all()
        await self.report.fallback(self.writers.failure)

    async def write(self, plan: Plan) -> None:
        """The base model's own step."""
        chain, base = self.thinking.chain, self.writers.base
        assert base is not None
        self.report.signals(self.measuring.unreported(chain), chain.length)
        await self.writers.pause_drafters()
        step, seconds = await base.next_step(chain, "base", self.thinking.left(chain))
        known = self.measuring.known_of(chain)
        after = await self.writers.read(chain, step, "base")
        await self.keep(step, after, unasked_record(chain.length, step, seconds, known, self.reason(plan)))

    async def speculate(self, work: Speculating, plan: Plan) -> None:
        """Drafts and verdicts, as long as the plan stays the same and drafts are accepted."""
        async with aclosing(plan.schedule(work, self.thinking.chain)) as found:
            async for one in found:
                if isinstance(one, Drafted):
                    await self.report.drafts(one, self.thinking.chain.length)
                    continue
                chain = self.thinking.chain
                self.report.signals(self.measuring.unreported(chain, one.signals), chain.length)
                self.thinking.decided(one.accepted is not None)
                if one.accepted is None:
                    await self.replace(work, plan, one)
                    return
                self.thinking.discard(one.drafted.tokens - one.accepted.step.tokens)
                judged = "base" in self.writers.roles
                record = draft_record(chain.length, one, self.reason(plan), judged=judged)
                await self.keep(one.accepted.step, one.accepted.after, record)
                if self.thinking.ended or self.run.planner.plan() != plan:
                    return

    async def replace(self, work: Speculating, plan: Plan, verified: Verified) -> None:
        """Another step in the place of drafts of which none is accepted."""
        chain, verdict, drafted = self.thinking.chain, verified.verdict, verified.drafted
        assert isinstance(verdict, Reject)
        self.thinking.discard(drafted.tokens)
        await self.emit(StepRejected(self.now(), chain.length, verdict.reason, drafted.tokens))
        if self.thinking.left(chain) <= 0:  # only if discarded drafts count
            self.thinking.end()
            return
        if verdict.instead is not None:
            replacement = Replacement(verdict.instead, 0.0, "instead")
        else:
            draft = drafted.drafts[verified.which].step
            replacement = await plan.repair(work, Rejected(chain, draft, verdict.reason))
        self.thinking.discard(-replacement.kept)
        self.report.prefixes(work.checked, chain.length)
        after = await self.writers.read(chain, replacement.step, "base")
        record = replaced_record(chain.length, verified, replacement, self.reason(plan))
        await self.keep(replacement.step, after, record)

    async def keep(self, step: Step, after: Chain, record: StepRecord) -> None:
        """Make a step part of the chain; one that goes round in a circle ends thinking instead."""
        if self.thinking.keep(step, after):
            self.measuring.leave(after.length)
            await self.emit(StepKept(self.now(), record))

    def reason(self, plan: Plan) -> str | None:
        """Why a step is written as it is, where that was chosen."""
        return plan.reason or None if self.writers.failure is None else None

    async def _stop(self) -> None:
        await self.writers.pause_all()
        await self.emit()

    async def _interrupted(self, error: EngineError) -> None:
        await self.emit(Interrupted(self.now(), str(error)))
