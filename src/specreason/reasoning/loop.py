"""One problem from question to answer: who writes, what stands, when thinking ends. Yields events."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from specreason.errors import AnswerFormRejected, EngineError, EngineTimeout, EngineUnavailable
from specreason.reasoning.answering import Answer
from specreason.reasoning.answers import stated_answer
from specreason.reasoning.chain import Chain, Role, check_chain
from specreason.reasoning.events import (
    AnswerDelta,
    CallEnded,
    DrafterLost,
    Event,
    Failed,
    Finished,
    Interrupted,
    Phase,
    Planned,
    StepAccepted,
    StepDrafted,
    StepRejected,
    StepRewritten,
    ThinkingEnded,
)
from specreason.reasoning.judge import Score
from specreason.reasoning.judging import told_score
from specreason.reasoning.lookahead import lookahead
from specreason.reasoning.plan import Plan
from specreason.reasoning.policies.contract import Reject
from specreason.reasoning.run import Run
from specreason.reasoning.salvage import completed, salvaged
from specreason.reasoning.schedule import Checked, Draft, Drafted, DrafterFailed, Schedule, sequential
from specreason.reasoning.speculation import Speculating, author
from specreason.reasoning.steps import Step
from specreason.reasoning.terms import AnswerCut, Patience
from specreason.reasoning.thinking import Thinking
from specreason.reasoning.writer import stopwatch


class Loop:
    """One run. Raises ContextOverflow if the problem leaves no room to think."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._clock = stopwatch()
        self._calls: list[CallEnded] = []  # waiting to be told
        self._thinking = Thinking(run, self._calls.append)
        self._answer_so_far = Answer(run, self._calls.append)
        self._plan: Plan | None = None
        self._needed: Role = "base" if "base" in run.turns else "small"

    async def events(self) -> AsyncGenerator[Event, None]:
        """Think, then answer. Raises EngineError after a `Failed` event if the run cannot go on."""
        try:
            async with aclosing(self._resumed(self._think)) as events:
                async for event in events:
                    self._run.planner.take(event)
                    yield event
            thinking = self._thinking
            ended = ThinkingEnded(
                self._clock(), thinking.ended or "stopped", thinking.chain.length, thinking.chain.tokens
            )
            self._run.planner.take(ended)
            yield ended
            async with aclosing(self._resumed(self._answer)) as answering:
                async for event in answering:
                    yield event
        except EngineError as error:
            await self._thinking.hold_all()
            for event in self._told_calls():
                yield event
            yield Failed(self._clock(), type(error).__name__, str(error))
            raise
        finally:
            await self._thinking.hold_all()
            for engine in (*self._run.engines.values(), *self._run.writers.values()):
                engine.end_session(self._run.session)

    async def _resumed(self, part: Callable[[], AsyncGenerator[Event, None]]) -> AsyncGenerator[Event, None]:
        """`part`; if the model that it depends on breaks off, anew after the last step, once it is back."""
        patience = Patience(self._run.terms.resume_within)
        while True:
            try:
                async with aclosing(part()) as events:
                    async for event in events:
                        self._note(event, patience)
                        yield event
                return
            except (EngineUnavailable, EngineTimeout) as error:
                await self._thinking.hold_all()
                for event in self._told_calls():
                    self._note(event, patience)
                    yield event
                if patience.begins:
                    yield Interrupted(self._clock(), str(error))
                if not await patience.pause():
                    raise

    def _note(self, event: Event, patience: Patience) -> None:
        if isinstance(event, StepAccepted | AnswerDelta):
            patience.renew()
        elif isinstance(event, CallEnded) and event.role == self._needed and event.generated_tokens:
            patience.back()

    # ------------------------------------------------------------ thinking

    async def _think(self) -> AsyncGenerator[Event, None]:
        thinking = self._thinking
        while thinking.ended is None:
            for event in (*self._told_loss(), *self._told_plan(self._run.planner.plan())):
                yield event
            assert self._plan is not None
            by_base = self._plan.author == "base" and "base" in thinking.policy.roles
            if by_base or await author(thinking, thinking.chain) == "base":
                async for event in self._base_step("base"):
                    yield event
            else:
                async with aclosing(self._speculate(self._plan)) as events:
                    async for event in events:
                        yield event
        await thinking.hold_all()
        for event in (*self._told_loss(), *self._told_calls()):
            yield event

    async def _speculate(self, plan: Plan) -> AsyncGenerator[Event, None]:
        """Drafts and verdicts, as long as the plan stays the same and drafts stand."""
        schedule: Schedule = (
            lookahead(plan.lookahead, branches=plan.branches) if plan.lookahead else sequential
        )
        try:
            speculation = Speculating(self._thinking, plan)
            async with aclosing(schedule(speculation, self._thinking.chain, hedge=plan.hedge)) as told:
                async for drafted_or_checked in told:
                    if isinstance(drafted_or_checked, Drafted):
                        for event in self._drafted(drafted_or_checked):
                            yield event
                        continue
                    async for event in self._decided(drafted_or_checked):
                        yield event
                    if self._thinking.ended is not None or self._run.planner.plan() != plan:
                        return
        except DrafterFailed as failed:
            await self._thinking.lose_drafter(failed.error)

    def _drafted(self, drafted: Drafted) -> list[StepDrafted]:
        index = self._thinking.chain.length
        return [
            StepDrafted(
                self._clock(),
                index,
                draft.step.text,
                draft.step.tokens,
                drafted.seconds,
                draft.step.end,
                sample,
            )
            for sample, draft in enumerate(drafted.drafts)
        ]

    async def _decided(self, checked: Checked) -> AsyncGenerator[Event, None]:
        """Tell of the verdicts; if no draft stands the base model writes the step at once."""
        thinking, drafted, index = self._thinking, checked.drafted, self._thinking.chain.length
        for event in self._told_calls():
            yield event
        for sample, verified in enumerate(checked.verified):
            for signal in verified.known.values.values():
                if isinstance(signal, Score):
                    for event in told_score(self._clock(), index, sample, signal):
                        yield event
        chosen = checked.chosen
        thinking.verdicts = (*thinking.verdicts, chosen is not None)
        if chosen is not None:
            draft = drafted.drafts[chosen]
            outdone = drafted.tokens - draft.step.tokens
            thinking.discarded += outdone
            for event in self._kept(draft.step, "small", drafted.seconds, draft.after):
                yield replace(event, sample=chosen, outdone=outdone, stood=checked.stood)
            return
        verdict = checked.verified[drafted.favourite].verdict
        assert isinstance(verdict, Reject)
        begun = await self._salvaged(drafted.drafts[drafted.favourite].step, verdict)
        wasted = drafted.tokens - (begun.step.tokens if begun else 0)
        thinking.discarded += wasted
        if begun and thinking.left(begun.after) <= 0:  # only if discarded drafts count
            thinking.discarded += drafted.tokens - wasted
            begun, wasted = None, drafted.tokens
        yield StepRejected(self._clock(), index, verdict.reason, wasted)
        if thinking.left(thinking.chain) <= 0:  # only if discarded drafts count
            thinking.ended = thinking.out_of
            return
        async for event in self._base_step("rewrite", begun):
            yield event

    async def _salvaged(self, draft: Step, verdict: Reject) -> Draft | None:
        """What stays of a rejected draft: nothing of a circle, or where the base model has begun a step."""
        thinking = self._thinking
        hedged = self._plan is not None and self._plan.hedge
        if not self._run.settings.salvage or hedged or verdict.reason == "repetition":
            return None
        begun, asked = await salvaged(thinking, thinking.chain, draft)
        scores = [s for known in asked for s in known.values.values() if isinstance(s, Score)]
        self._calls += [told_score(self._clock(), thinking.chain.length, 0, score)[0] for score in scores]
        return begun

    async def _base_step(self, phase: Phase, begun: Draft | None = None) -> AsyncGenerator[Event, None]:
        """The base model's next step; after a draft's beginning only the rest of it."""
        thinking = self._thinking
        assert thinking.base is not None
        await thinking.hold_drafters()
        index, before = thinking.chain.length, begun.after if begun else thinking.chain
        stays = begun.step if begun else Step("", (), 0, (), "boundary")
        left = thinking.left(before)
        if begun:  # the whole step has no more tokens than any other
            left = min(left, max(1, self._run.settings.max_step_tokens - stays.tokens))
        step, seconds = await thinking.base.next_step(before, phase, left)
        for event in self._told_calls():
            yield event
        if phase == "rewrite":
            yield StepRewritten(self._clock(), index, step.text, step.tokens, seconds, step.end, stays.text)
        step = completed(begun, step) if begun else step
        after = await thinking.extended(thinking.chain, step, "base")
        for event in self._kept(step, "base", seconds, after):
            yield replace(event, salvaged=stays.tokens)

    def _kept(self, step: Step, author: Role, seconds: float, after: Chain) -> list[StepAccepted]:
        """Make the step part of the chain, and see whether thinking ends with it."""
        thinking = self._thinking
        if thinking.chain.repeats(step):
            thinking.ended = "repetition"
            return []
        index = thinking.chain.length
        thinking.chain = after
        thinking.texts.append(step.text)
        check_chain(after)
        thinking.ended = thinking.end_of(after)
        return [StepAccepted(self._clock(), index, author, step.text, step.tokens, seconds, step.end)]

    # ------------------------------------------------------------ the answer

    async def _answer(self) -> AsyncGenerator[Event, None]:
        thinking = self._thinking
        role = self._answerer_role()
        turn = self._run.turns[role]
        chain_text = "".join(thinking.texts)
        # Without a thinking block the chain is the reply; if it states the answer there is nothing to add.
        formed = self._run.terms.constraint is not None
        if not turn.thinking and not formed and (answer := stated_answer(chain_text)) and thinking.texts:
            cut = AnswerCut(self._run.terms.stop)
            yield AnswerDelta(self._clock(), cut.take(self._last_text()) + cut.rest())
            yield Finished(self._clock(), answer)
            return
        try:
            async with aclosing(self._deltas(role)) as deltas:
                async for delta in deltas:
                    yield delta
        except EngineError as error:
            if isinstance(error, AnswerFormRejected):
                raise
            if role == "base" or self._answer_so_far.text or "base" not in thinking.policy.roles:
                raise
            await thinking.lose_drafter(error)
            for event in self._told_loss():
                yield event
            async with aclosing(self._deltas("base")) as deltas:
                async for delta in deltas:
                    yield delta
        for event in self._told_calls():
            yield event
        yield Finished(self._clock(), stated_answer(self._answer_so_far.text) or stated_answer(chain_text))

    async def _deltas(self, role: Role) -> AsyncGenerator[AnswerDelta, None]:
        async with aclosing(self._answer_so_far.written_by(role, self._thinking.chain)) as texts:
            async for text in texts:
                yield AnswerDelta(self._clock(), text)

    def _last_text(self) -> str:
        return next((text.strip() for text in reversed(self._thinking.texts) if text.strip()), "")

    def _answerer_role(self) -> Role:
        wanted, roles = self._run.settings.answer_by, self._thinking.policy.roles
        return wanted if wanted in roles else roles[0]

    # ------------------------------------------------------------ what is told in passing

    def _told_plan(self, plan: Plan) -> list[Event]:
        """The plan, if it is another one than before and there is a choice."""
        known, self._plan = self._plan, plan
        if plan == known or not plan.reason:
            return []
        index = self._thinking.chain.length
        return [
            Planned(self._clock(), index, plan.author, plan.lookahead, plan.drafts, plan.hedge, plan.reason)
        ]

    def _told_loss(self) -> list[Event]:
        lost, self._thinking.lost = self._thinking.lost, None
        return [] if lost is None else [DrafterLost(self._clock(), str(lost))]

    def _told_calls(self) -> list[Event]:
        told: list[Event] = [replace(call, at=self._clock()) for call in self._calls]
        self._calls.clear()
        return told
