"""The public face: a pair of models, connected once, that solves problems."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Self

from specreason.config import ReasoningSettings, SamplingSettings, Scheme, Settings
from specreason.config.knobs import Section
from specreason.config.scheme import Role
from specreason.conversation import checked_messages
from specreason.engines.names import EngineName, engines_of
from specreason.engines.protocol import Engine, Message
from specreason.errors import ContextOverflow, EngineTimeout, EngineUnavailable
from specreason.models.pair_settings import fitted, resolve
from specreason.pair import Pair, given, opened, with_thinking
from specreason.preparation import Asked, prepared, started
from specreason.reasoning.events import Event, Failed, Interrupted
from specreason.reasoning.loop import Loop
from specreason.reasoning.options import RunOptions
from specreason.reasoning.planning.costs import BATCHED, SHARED_CORES, Costs
from specreason.reasoning.planning.plan import Planner
from specreason.reasoning.policies.contract import PolicySpec
from specreason.reasoning.result import Result, Tally
from specreason.reasoning.resuming import Waiting


class SpecReason:
    """Solves problems by speculative reasoning.

        async with SpecReason(load_settings()) as engine:
            result = await engine.solve("What is 12 * 13?")

    Entering connects (or loads) the models that the scheme needs; `roles` asks for others, so that several
    schemes can be run on one pair: "base+decode" is the base model with token-level speculation. `engines`
    (by role, and further models by name) and `decoder` (that last one) use engines of your own instead.
    `policy` replaces the rule that `settings.reasoning.scheme` names; `planner` makes the plan of each run
    (what overlaps). Entering raises EngineError, ModelFileError or ConfigError.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        roles: Sequence[EngineName] | None = None,
        engines: Mapping[str, Engine] | Mapping[Role, Engine] | None = None,
        decoder: Engine | None = None,
        policy: PolicySpec | None = None,
        planner: Callable[[], Planner] | None = None,
    ) -> None:
        self.settings = resolve(settings or Settings())
        self._names = tuple(roles) if roles else engines_of([self.settings.reasoning.scheme])
        self._given = None if engines is None else given(self.settings, engines, decoder)
        self._policy = policy
        self._planner = planner
        self._costs: dict[Scheme, Costs] = {}
        self._stack = AsyncExitStack()
        self.pair = self._given or Pair(self.settings)

    async def __aenter__(self) -> Self:
        if self._given is not None:
            self.pair = await with_thinking(self._given)
        else:
            self.pair = await self._stack.enter_async_context(opened(self.settings, self._names))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        self.pair = self._given or Pair(self.settings)

    async def solve(
        self,
        problem: str | Sequence[Message],
        *,
        reasoning: ReasoningSettings | None = None,
        sampling: SamplingSettings | None = None,
        policy: Section | None = None,
        options: RunOptions | None = None,
    ) -> Result:
        """The result of one problem (text, or chat messages that end with the user's).

        `reasoning`, `sampling` and `policy` (the knobs of all policies) replace those of the settings for
        this call; `options` bound it. Raises InputError for a problem that cannot be used, ContextOverflow
        for one that does not fit, EngineError if the base model fails, PolicyError if a policy does.
        """
        tally = Tally()
        events = self.stream(problem, reasoning=reasoning, sampling=sampling, policy=policy, options=options)
        async with aclosing(events):
            async for event in events:
                tally.take(event)
        return tally.result()

    async def stream(
        self,
        messages: str | Sequence[Message],
        *,
        reasoning: ReasoningSettings | None = None,
        sampling: SamplingSettings | None = None,
        policy: Section | None = None,
        options: RunOptions | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The events of one problem as they happen; see `solve`. Closing it stops the models' work."""
        asked = Asked(
            checked_messages(messages),
            fitted(self.settings.pair, "reasoning", reasoning or self.settings.reasoning),
            sampling or self.settings.sampling,
            fitted(self.settings.pair, "policy", policy or self.settings.policy),
            options or RunOptions(),
        )
        costs = self._costs.setdefault(
            asked.reasoning.scheme, Costs(SHARED_CORES if self.pair.in_process("base") else BATCHED)
        )
        waiting, run = Waiting(asked.options.resume_within), None
        while run is None:
            try:
                run = await prepared(self.pair, asked, costs, policy=self._policy, planner=self._planner)
            except (EngineUnavailable, EngineTimeout) as error:
                if waiting.begins:
                    yield Interrupted(0.0, str(error))
                if not await waiting.pause():
                    yield Failed(0.0, type(error).__name__, str(error))
                    raise
        yield started(asked, run, self._policy)
        try:
            loop = Loop(run)
        except ContextOverflow as error:
            yield Failed(0.0, type(error).__name__, str(error))
            raise
        async with aclosing(loop.events()) as events:
            async for event in events:
                yield event
