"""The state of a run while it thinks: the chain, who can still write, how much is left, why it ends."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from specreason.engines.protocol import Segment
from specreason.errors import EngineError
from specreason.reasoning.answers import boxed_answer
from specreason.reasoning.budget import thinking_budget
from specreason.reasoning.chain import Chain, Role, read_by
from specreason.reasoning.events import CallEnded, Ended
from specreason.reasoning.policies.single import SinglePolicy
from specreason.reasoning.run import Run
from specreason.reasoning.schedule import DrafterFailed
from specreason.reasoning.steps import End, Step
from specreason.reasoning.writer import StepShape, Writer

_LAST: Mapping[End, Ended] = {"think_close": "closed", "stop": "stopped"}


class Thinking:
    """`verdicts`: how the latest drafts fared. `lost`: why the small model is gone, until that is told.

    `drafters`: the small model's pens, row after row; a row has as many as it may write drafts of one step,
    and there is a row for each place where it may write at the same time. `base`: the base model's pen.
    """

    def __init__(self, run: Run, on_call: Callable[[CallEnded], None]) -> None:
        self.run = run
        self.policy = run.policy
        self.chain = Chain({role: turn.prompt for role, turn in run.turns.items()})
        self.texts: list[str] = []
        self.verdicts: tuple[bool, ...] = ()
        self.discarded = 0
        self.ended: Ended | None = None
        self.lost = run.lost
        self._on_call = on_call
        self._budget = thinking_budget(
            run.settings, run.engines, run.turns, run.judge_tokens, run.terms.max_tokens
        )
        if self.left(self.chain) <= 0:  # who asked for no thinking gets none
            self.ended = self.out_of
        most = run.planner.most
        self.drafters = (
            [self._writer("small", number) for number in range(most.pens)] if "small" in run.engines else []
        )
        self.base = self._writer("base", 0) if "base" in run.engines else None

    def pens(self, row: int, count: int) -> tuple[list[Writer], list[Writer]]:
        """The first `count` pens of a row, and the rest of it."""
        width = self.run.planner.most.drafts
        whole = self.drafters[row * width : (row + 1) * width]
        return whole[:count], whole[count:]

    def left(self, chain: Chain) -> int:
        """Thinking tokens left after `chain`."""
        return self._budget.left(chain.tokens, self.discarded)

    @property
    def out_of(self) -> Ended:
        """What there is no more of when nothing is left."""
        return self._budget.limited_by

    def end_of(self, chain: Chain) -> Ended | None:
        """Why thinking ends with `chain`, None if it goes on."""
        step = chain.last
        if step is None:
            return None
        if step.end in _LAST:
            return _LAST[step.end]
        if self.run.settings.end_on_answer and boxed_answer(step.text):
            return "answer"
        if self.left(chain) <= 0:
            return self.out_of
        if step.end == "length" and not step.tokens:
            return "context"  # the engine has no room for another token
        return None

    async def extended(self, chain: Chain, step: Step, author: Role) -> Chain:
        """`chain` with one more step, as each model reads it. Raises DrafterFailed for a draft of no use."""
        segments: dict[Role, Segment] = {}
        for role in chain.prompts:
            try:
                segments[role] = await read_by(self.run.engines[role], step, self.run.engines[author])
            except EngineError as error:
                if role == "base":
                    raise
                if author == "small":
                    raise DrafterFailed(error) from error
                await self.lose_drafter(error)
        kept = replace(chain, prompts={role: chain.prompts[role] for role in segments})
        return kept.plus(step, segments)

    async def lose_drafter(self, error: EngineError) -> None:
        """Go on with the base model alone. Raises `error` if the scheme has no base model."""
        if "base" not in self.policy.roles:
            raise error
        self.lost = error
        self.policy = SinglePolicy("base")
        await self.hold_drafters()
        self.drafters = []
        self.chain = replace(self.chain, prompts={"base": self.chain.prompts["base"]})

    async def hold_drafters(self) -> None:
        """Stop the small model; its cache keeps what it has written."""
        for drafter in self.drafters:
            await drafter.hold()

    async def hold_all(self) -> None:
        """Stop both models."""
        await self.hold_drafters()
        if self.base is not None:
            await self.base.hold()

    def _writer(self, role: Role, number: int) -> Writer:
        run, settings = self.run, self.run.settings
        close = run.think_close[role] if run.turns[role].thinking else None
        return Writer(
            role=role,
            engine=run.writer(role),
            shape=StepShape(settings.step_delimiter, close, settings.max_step_tokens),
            sampling=run.sampling,
            session=run.session,
            on_call=self._on_call,
            number=number,
        )
