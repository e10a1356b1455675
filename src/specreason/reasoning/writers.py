"""The models at work in one run: their writers, what they read, and what happens if the small one fails."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from specreason.config.scheme import Role
from specreason.engines.protocol import Segment
from specreason.errors import EngineError
from specreason.reasoning.chain import Chain, read_by
from specreason.reasoning.events import CallEnded
from specreason.reasoning.run import Run
from specreason.reasoning.schedules.contract import DrafterFailed
from specreason.reasoning.steps import Step
from specreason.reasoning.writer import SEEDS, StepShape, Writer

ASIDE = 50  # number of the writer, and of the cache slot, of signals that ask the small model
_SEEDS_ASIDE = 1000


class Writers:
    """`base`: the base model's writer, if the run has one. `failure`: why the base model goes on alone."""

    def __init__(self, run: Run, on_call: Callable[[CallEnded], None]) -> None:
        self._run = run
        self._on_call = on_call
        self.failure = run.failure
        lanes = run.planner.most.lanes if "small" in run.engines else 0
        self._drafters = [self._writer("small", number) for number in range(lanes)]
        self.base = self._writer("base", 0) if "base" in run.engines else None

    @property
    def roles(self) -> Sequence[Role]:
        """The models that write."""
        return self._run.roles if self.failure is None else ("base",)

    def of_lane(self, lane: int, count: int) -> tuple[list[Writer], list[Writer]]:
        """The first `count` drafters of a lane, and the rest of it."""
        width = self._run.planner.most.drafts
        whole = self._drafters[lane * width : (lane + 1) * width]
        return whole[:count], whole[count:]

    async def read(self, chain: Chain, step: Step, author: Role) -> Chain:
        """`chain` with one more step, as each model reads it. Raises DrafterFailed for a draft of no use."""
        engines = self._run.engines
        segments: dict[Role, Segment] = {}
        for role in chain.prompts:
            try:
                segments[role] = await read_by(engines[role], step, engines[author])
            except EngineError as error:
                if role == "base":
                    raise
                if author == "small":
                    raise DrafterFailed(error) from error
                await self.fall_back(error)
        return replace(chain, prompts={role: chain.prompts[role] for role in segments}).plus(step, segments)

    async def fall_back(self, error: EngineError) -> None:
        """Go on with the base model alone. Raises `error` if there is none."""
        if "base" not in self.roles:
            raise error
        self.failure = error
        await self.pause_drafters()
        self._drafters = []

    async def aside(
        self, role: Role, chain: Chain, max_tokens: int, on_call: Callable[[CallEnded], None]
    ) -> Step:
        """A model's own step after `chain`, beside what it writes otherwise: for signals."""
        # The small model may be drafting; the base model is not, and its cache holds the chain.
        writer = self._writer(role, ASIDE if role == "small" else 0, on_call)
        writer.draw_from((_SEEDS_ASIDE + chain.length) * SEEDS)
        try:
            return (await writer.next_step(chain, "score", max_tokens))[0]
        finally:
            await writer.pause()

    async def pause_drafters(self) -> None:
        """Stop the small model; its cache keeps what it has written."""
        for drafter in self._drafters:
            await drafter.pause()

    async def pause_all(self) -> None:
        """Stop both models."""
        await self.pause_drafters()
        if self.base is not None:
            await self.base.pause()

    def _writer(self, role: Role, number: int, on_call: Callable[[CallEnded], None] | None = None) -> Writer:
        run, settings = self._run, self._run.settings
        close = run.think_close[role] if run.turns[role].thinking else None
        return Writer(
            role=role,
            engine=run.writer(role),
            shape=StepShape(settings.step_delimiter, close, settings.max_step_tokens),
            sampling=run.sampling,
            session=run.session,
            on_call=on_call or self._on_call,
            number=number,
        )
