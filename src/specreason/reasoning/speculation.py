"""What schedules and repairs work with: drafting, judging and rewriting on the models of one run."""

import asyncio

from specreason.config.scheme import Role
from specreason.errors import EngineError, PolicyError
from specreason.reasoning.chain import Chain
from specreason.reasoning.gathering import gathered
from specreason.reasoning.planning.plan import Plan
from specreason.reasoning.policies.contract import Accept, Reject
from specreason.reasoning.repetition import repeats
from specreason.reasoning.run import Run
from specreason.reasoning.schedules.contract import (
    Draft,
    Drafted,
    DrafterFailed,
    Pause,
    Verified,
    favourite,
)
from specreason.reasoning.signals.contract import Measured
from specreason.reasoning.signals.measuring import Measuring
from specreason.reasoning.steps import Step, normalised
from specreason.reasoning.thinking import Thinking
from specreason.reasoning.writers import Writers


class Speculating:
    """See `schedules.contract.Speculation` and `repairs.contract.Repairing`. `plan` is the one in force.

    `checked`: what was measured of beginnings of a rejected draft, and their lengths in characters.
    """

    def __init__(
        self, run: Run, thinking: Thinking, writers: Writers, measuring: Measuring, plan: Plan
    ) -> None:
        self._run = run
        self._thinking = thinking
        self._writers = writers
        self._measuring = measuring
        self._plan = plan
        self.checked: list[tuple[Measured, int]] = []

    # ------------------------------------------------------------ for schedules

    async def begin(self, chain: Chain) -> None:
        """See `Speculation`."""
        if self._writers.base is not None and self._thinking.end_of(chain) is None:
            await self._plan.repair.begin(self, chain)

    async def draft(self, chain: Chain, lane: int = 0) -> Drafted | None:
        """See `Speculation`. Drafts that come out alike are one; those that go round in a circle go."""
        if self._thinking.end_of(chain) is not None or await self.author(chain) != "small":
            return None
        if self._writers.base is not None and not self._plan.repair.beside:
            await self._writers.base.pause()
        left = self._thinking.left(chain)
        drafters, unused = self._writers.of_lane(lane, self._plan.drafts)
        for drafter in unused:
            await drafter.pause()
        try:
            written = await gathered(drafter.next_step(chain, "draft", left) for drafter in drafters)
        except EngineError as error:
            raise DrafterFailed(error) from error
        steps: dict[str, Step] = {}
        for step, _ in written:
            steps.setdefault(normalised(step.text), step)
        unlike = [step for step in steps.values() if not repeats(chain.recent, step)] or [written[0][0]]
        # What is kept is read by both models anyway; a schedule may have to know it before.
        drafts = [Draft(step, await self._writers.read(chain, step, "small")) for step in unlike]
        return Drafted(
            drafts=tuple(drafts),
            seconds=max(seconds for _, seconds in written),
            favourite=favourite(unlike),
            tokens=sum(step.tokens for step, _ in written),
        )

    async def pause(self, lane: int = 0) -> None:
        """See `Speculation`."""
        for drafter in self._writers.of_lane(lane, 0)[1]:
            await drafter.pause()

    async def verify(self, chain: Chain, drafted: Drafted, before_measuring: Pause) -> Verified:
        """See `Speculation`. A draft that goes round in a circle is rejected unasked."""
        clock = asyncio.get_running_loop().time
        started = clock()
        if repeats(chain.recent, drafted.drafts[0].step) and "base" in self._writers.roles:
            return Verified(drafted, Reject("repetition"), self._measuring.known_of(chain), 0.0)
        verdict, signals = await self._measuring.verdict(
            chain, drafted.drafts, drafted.favourite, before_measuring
        )
        if isinstance(verdict, Reject) and "base" not in self._writers.roles:
            raise PolicyError(
                f"a draft was rejected ({verdict.reason}), and there is no base model to replace it"
            )
        return Verified(drafted, verdict, signals, clock() - started)

    async def author(self, chain: Chain) -> Role:
        """Who is to write after `chain`; drafts that are not decided yet are taken as accepted."""
        undecided = chain.length - self._thinking.chain.length
        return await self._measuring.author(chain, (*self._thinking.outcomes, *(True,) * undecided))

    # ------------------------------------------------------------ for repairs

    @property
    def max_step_tokens(self) -> int:
        """See `Repairing`."""
        return self._run.settings.max_step_tokens

    def left(self, chain: Chain) -> int:
        """See `Repairing`."""
        return self._thinking.left(chain)

    async def begin_writing(self, chain: Chain) -> None:
        """See `Repairing`."""
        assert self._writers.base is not None
        await self._writers.base.begin(chain, "rewrite", self._thinking.left(chain))

    async def write(self, chain: Chain, max_tokens: int) -> tuple[Step, float]:
        """See `Repairing`."""
        assert self._writers.base is not None
        await self._writers.pause_drafters()
        return await self._writers.base.next_step(chain, "rewrite", max_tokens)

    async def read(self, chain: Chain, step: Step, author: Role) -> Chain:
        """See `Repairing`."""
        return await self._writers.read(chain, step, author)

    async def cut(self, step: Step, length: int) -> Step:
        """See `Repairing`. Where the engine counts no tokens they are taken to be as long as the draft's."""
        text = step.text[:length]
        try:
            ids = (await self._run.engines["small"].tokenize(text)).ids
        except EngineError as error:
            raise DrafterFailed(error) from error
        tokens = len(ids) if ids is not None else round(step.tokens * length / len(step.text))
        return Step(text, ids, min(tokens, step.tokens), step.logprobs[:tokens], "boundary")

    async def accepts(self, chain: Chain, draft: Draft) -> bool:
        """See `Repairing`."""
        if repeats(chain.recent, draft.step):
            return False
        verdict, signals = await self._measuring.verdict(chain, [draft], 0)
        self.checked += [(one, len(draft.step.text)) for one in signals.measured if one.signal.of != "place"]
        return isinstance(verdict, Accept)
