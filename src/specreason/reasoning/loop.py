"""One problem from question to answer: who writes, what stands, when thinking ends. Yields events."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from specreason.engines.protocol import Segment
from specreason.engines.waiting import waiting
from specreason.errors import EngineError, EngineTimeout, EngineUnavailable
from specreason.reasoning.answering import Answer
from specreason.reasoning.answers import boxed_answer, stated_answer
from specreason.reasoning.budget import thinking_budget
from specreason.reasoning.chain import Chain, Role, check_chain, read_by
from specreason.reasoning.events import (
    AnswerDelta,
    CallEnded,
    DrafterLost,
    Ended,
    Event,
    Failed,
    Finished,
    Interrupted,
    Phase,
    StepAccepted,
    StepDrafted,
    StepRejected,
    StepRewritten,
    ThinkingEnded,
)
from specreason.reasoning.judge import Score
from specreason.reasoning.judging import told_score
from specreason.reasoning.policies.contract import (
    Boundary,
    Known,
    More,
    Reject,
    Signal,
    Situation,
)
from specreason.reasoning.policies.single import SinglePolicy
from specreason.reasoning.run import Run
from specreason.reasoning.schedule import Checked, Drafted, Hold, Verified
from specreason.reasoning.steps import Step
from specreason.reasoning.terms import AnswerCut, Patience
from specreason.reasoning.writer import StepShape, Writer, stopwatch


class Loop:
    """The state of one run, and the `Speculation` that its schedule puts in order."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._policy = run.policy
        self._clock = stopwatch()
        self._calls: list[CallEnded] = []  # waiting to be told
        self._chain = Chain({role: turn.prompt for role, turn in run.turns.items()})
        self._texts: list[str] = []
        self._verdicts: tuple[bool, ...] = ()
        self._discarded = 0
        self._ended: Ended | None = None
        self._lost = run.lost
        self._answer_so_far = Answer(run, self._calls.append)
        self._extended: tuple[Chain, Step, Chain] | None = None
        self._budget = thinking_budget(
            run.settings, run.engines, run.turns, run.judge_tokens, run.terms.max_tokens
        )
        self._writers: dict[Role, Writer] = {
            role: Writer(
                role=role,
                engine=engine,
                shape=self._shape(role),
                sampling=run.sampling,
                session=run.session,
                on_call=self._calls.append,
            )
            for role, engine in run.engines.items()
        }
        if self._left() <= 0:  # who asked for no thinking gets none
            self._ended = self._budget.limited_by

    async def events(self) -> AsyncGenerator[Event, None]:
        """Think, then answer. Raises EngineError after a `Failed` event if the run cannot go on."""
        try:
            async with aclosing(self._resumed(self._think)) as thinking:
                async for event in thinking:
                    yield event
            yield ThinkingEnded(
                self._clock(), self._ended or "stopped", self._chain.length, self._chain.tokens
            )
            async with aclosing(self._resumed(self._answer)) as answering:
                async for event in answering:
                    yield event
        except EngineError as error:
            await self._hold_all()
            for event in self._told_calls():
                yield event
            yield Failed(self._clock(), type(error).__name__, str(error))
            raise
        finally:
            await self._hold_all()

    async def _resumed(self, part: Callable[[], AsyncGenerator[Event, None]]) -> AsyncGenerator[Event, None]:
        """`part`; if the model that it depends on breaks off, anew after the last step, once it is back."""
        patience = Patience(self._run.terms.resume_within)
        while True:
            try:
                async with aclosing(part()) as events:
                    async for event in events:
                        if isinstance(event, StepAccepted | AnswerDelta):
                            patience.renew()
                        yield event
                return
            except (EngineUnavailable, EngineTimeout) as error:
                await self._hold_all()
                for event in self._told_calls():
                    yield event
                if patience.fresh and self._run.terms.resume_within:
                    yield Interrupted(self._clock(), str(error))
                if not await patience.pause():
                    raise

    # ------------------------------------------------------------ thinking

    async def _think(self) -> AsyncGenerator[Event, None]:
        while self._ended is None:
            for event in self._told_loss():
                yield event
            if await self._author(self._chain) == "base":
                async for event in self._base_step("base"):
                    yield event
            else:
                async with aclosing(self._run.schedule(self, self._chain)) as checked_drafts:
                    async for told in checked_drafts:
                        if isinstance(told, Drafted):
                            yield self._drafted(told)
                            continue
                        async for event in self._decided(told):
                            yield event
                        if self._ended is not None:
                            break
        await self._hold_all()
        for event in (*self._told_loss(), *self._told_calls()):
            yield event

    def _drafted(self, drafted: Drafted) -> StepDrafted:
        step = drafted.step
        return StepDrafted(
            self._clock(), self._chain.length, step.text, step.tokens, drafted.seconds, step.end
        )

    async def _decided(self, checked: Checked) -> AsyncGenerator[Event, None]:
        """Tell of a verdict; a rejected draft is rewritten at once."""
        step, index, verdict = checked.drafted.step, self._chain.length, checked.verified.verdict
        for event in self._told_calls():
            yield event
        for signal in checked.verified.known.values.values():
            if isinstance(signal, Score):
                for event in told_score(self._clock(), index, signal):
                    yield event
        if isinstance(verdict, Reject):
            self._verdicts = (*self._verdicts, False)
            self._discarded += step.tokens
            yield StepRejected(self._clock(), index, verdict.reason, step.tokens)
            if self._left() <= 0:  # only if discarded drafts count
                self._ended = self._budget.limited_by
                return
            async for event in self._base_step("rewrite"):
                yield event
        else:
            self._verdicts = (*self._verdicts, True)
            async for event in self._kept(step, "small", checked.drafted.seconds, checked.after):
                yield event

    async def _base_step(self, phase: Phase) -> AsyncGenerator[Event, None]:
        if "small" in self._writers:
            await self._writers["small"].hold()
        index = self._chain.length
        step, seconds = await self._writers["base"].next_step(self._chain, phase, self._left())
        for event in self._told_calls():
            yield event
        if phase == "rewrite":
            yield StepRewritten(self._clock(), index, step.text, step.tokens, seconds, step.end)
        after = await self._extend(self._chain, step, "base")
        async for event in self._kept(step, "base", seconds, after):
            yield event

    async def _kept(
        self, step: Step, author: Role, seconds: float, after: Chain
    ) -> AsyncGenerator[Event, None]:
        """Make the step part of the chain, and see whether thinking ends with it."""
        if self._chain.repeats(step):
            self._ended = "repetition"
            return
        index = self._chain.length
        self._chain = after
        self._texts.append(step.text)
        check_chain(after)
        yield StepAccepted(self._clock(), index, author, step.text, step.tokens, seconds, step.end)
        if step.end == "think_close":
            self._ended = "closed"
        elif step.end == "stop":
            self._ended = "stopped"
        elif self._run.settings.end_on_answer and boxed_answer(step.text):
            self._ended = "answer"
        elif self._left() <= 0:
            self._ended = self._budget.limited_by
        elif step.end == "length" and not step.tokens:
            self._ended = "context"  # the engine has no room for another token

    async def _author(self, chain: Chain) -> Role:
        boundary = Boundary(chain.length, self._verdicts)
        known = Known()
        while isinstance(choice := self._policy.author(boundary, known), More):
            known = await self._measured(known, choice.signal, chain, None)
        return choice.role

    async def _measured(
        self, known: Known, signal: Signal[object], chain: Chain, draft: Step | None
    ) -> Known:
        after = None if draft is None else await self.extend(chain, draft)
        situation = Situation(chain, draft, after, self._run.engines, self._run.session)
        with waiting():
            return known.plus(signal, await signal.measure(situation))

    # ------------------------------------------------------------ what the schedule puts in order

    async def draft(self, chain: Chain) -> Drafted | None:
        """See `Speculation.draft`. A failing drafter is given up: the base model goes on alone."""
        if await self._author(chain) != "small":
            return None
        if "base" in self._writers:
            await self._writers["base"].hold()
        try:
            step, seconds = await self._writers["small"].next_step(chain, "draft", self._left(chain))
        except EngineError as error:
            await self._lose_drafter(error)
            return None
        return Drafted(step, seconds)

    async def hold(self) -> None:
        """See `Speculation.hold`."""
        if "small" in self._writers:
            await self._writers["small"].hold()

    async def verify(self, chain: Chain, draft: Step, before_measuring: Hold) -> Verified:
        """See `Speculation.verify`. A draft that goes round in a circle is rejected unasked."""
        known = Known()
        policy = self._policy  # a drafter lost on the way changes the rule for later steps only
        if chain.repeats(draft) and "base" in policy.roles:
            return Verified(Reject("repetition"), known)
        while isinstance(verdict := policy.verdict(draft, known), More):
            await before_measuring()
            known = await self._measured(known, verdict.signal, chain, draft)
        return Verified(verdict, known)

    async def extend(self, chain: Chain, step: Step) -> Chain:
        """See `Speculation.extend`."""
        return await self._extend(chain, step, "small")

    async def _extend(self, chain: Chain, step: Step, author: Role) -> Chain:
        if self._extended is not None and self._extended[0] is chain and self._extended[1] is step:
            return self._extended[2]
        segments: dict[Role, Segment] = {}
        for role in chain.prompts:
            try:
                segments[role] = await read_by(self._run.engines[role], step, self._run.engines[author])
            except EngineError as error:
                if role == "base":
                    raise
                await self._lose_drafter(error)
        after = replace(chain, prompts={role: chain.prompts[role] for role in segments}).plus(step, segments)
        self._extended = (chain, step, after)
        return after

    async def _lose_drafter(self, error: EngineError) -> None:
        if "base" not in self._policy.roles:
            raise error
        self._lost = error
        self._policy = SinglePolicy("base")
        await self._writers.pop("small").hold()
        self._chain = replace(self._chain, prompts={"base": self._chain.prompts["base"]})

    # ------------------------------------------------------------ the answer

    async def _answer(self) -> AsyncGenerator[Event, None]:
        role = self._answerer_role()
        turn = self._run.turns[role]
        chain_text = "".join(self._texts)
        # Without a thinking block the chain is the reply; if it states the answer there is nothing to add.
        if not turn.thinking and (answer := stated_answer(chain_text)) and self._texts:
            cut = AnswerCut(self._run.terms.stop)
            yield AnswerDelta(self._clock(), cut.take(self._last_text()) + cut.rest())
            yield Finished(self._clock(), answer)
            return
        try:
            async with aclosing(self._deltas(role)) as deltas:
                async for delta in deltas:
                    yield delta
        except EngineError as error:
            if role == "base" or self._answer_so_far.text or "base" not in self._policy.roles:
                raise
            await self._lose_drafter(error)
            for event in self._told_loss():
                yield event
            async with aclosing(self._deltas("base")) as deltas:
                async for delta in deltas:
                    yield delta
        for event in self._told_calls():
            yield event
        yield Finished(self._clock(), stated_answer(self._answer_so_far.text) or stated_answer(chain_text))

    async def _deltas(self, role: Role) -> AsyncGenerator[AnswerDelta, None]:
        async with aclosing(self._answer_so_far.written_by(role, self._chain)) as texts:
            async for text in texts:
                yield AnswerDelta(self._clock(), text)

    def _last_text(self) -> str:
        return next((text.strip() for text in reversed(self._texts) if text.strip()), "")

    def _answerer_role(self) -> Role:
        wanted = self._run.settings.answer_by
        return wanted if wanted in self._policy.roles else self._policy.roles[0]

    def _left(self, chain: Chain | None = None) -> int:
        """Thinking tokens left."""
        return self._budget.left((chain or self._chain).tokens, self._discarded)

    def _shape(self, role: Role) -> StepShape:
        settings = self._run.settings
        close = self._run.think_close[role] if self._run.turns[role].thinking else None
        return StepShape(settings.step_delimiter, close, settings.max_step_tokens)

    async def _hold_all(self) -> None:
        for writer in self._writers.values():
            await writer.hold()

    def _told_loss(self) -> list[Event]:
        lost, self._lost = self._lost, None
        return [] if lost is None else [DrafterLost(self._clock(), str(lost))]

    def _told_calls(self) -> list[Event]:
        told: list[Event] = [replace(call, at=self._clock()) for call in self._calls]
        self._calls.clear()
        return told
