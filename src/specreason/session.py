"""The public face: a pair of models, connected once, that solves problems."""

import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self, TypeVar

from specreason.config import EngineSettings, ReasoningSettings, SamplingSettings, Settings
from specreason.engines import embedded
from specreason.engines.chat_format import OpenTurn, open_turn, thinks
from specreason.engines.connect import connect
from specreason.engines.protocol import Engine, Message, Sampling
from specreason.errors import ConfigError, ContextOverflow, EngineError, InputError
from specreason.models import cache, catalogue
from specreason.reasoning.auto import Auto
from specreason.reasoning.chain import Role
from specreason.reasoning.costs import BATCHED, SHARED_CORES, Costs
from specreason.reasoning.events import Event, Failed, Started
from specreason.reasoning.judging import JudgePrompt, judge_signal, question_for
from specreason.reasoning.loop import Loop
from specreason.reasoning.plan import Always, Plan, Planner
from specreason.reasoning.policies.contract import Policy
from specreason.reasoning.policies.single import SinglePolicy
from specreason.reasoning.policies.specreason import SpecReasonPolicy
from specreason.reasoning.prompts import with_instruction
from specreason.reasoning.result import Result, Tally
from specreason.reasoning.run import Run
from specreason.reasoning.terms import Terms

_VERSION = version("specreason")
S = TypeVar("S", ReasoningSettings, EngineSettings)
_ROLES_OF: Mapping[str, tuple[Role, ...]] = {
    "specreason": ("base", "small"),
    "base": ("base",),
    "small": ("small",),
}


class SpecReason:
    """Solves problems by speculative reasoning.

        async with SpecReason(load_settings()) as engine:
            result = await engine.solve("What is 12 * 13?")

    Entering connects (or loads) the models that the scheme needs; `roles` asks for others, so that several
    schemes can be run on one pair. `engines` uses engines of your own instead. `policy` replaces the rule
    that `settings.reasoning.scheme` names; `planner` makes the plan of each run (what overlaps).
    Entering raises EngineError, ModelFileError or ConfigError.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        roles: Sequence[Role] | None = None,
        engines: Mapping[Role, Engine] | None = None,
        policy: Policy | None = None,
        planner: Callable[[], Planner] | None = None,
    ) -> None:
        self.settings = resolve(settings or Settings())
        self._roles = tuple(roles) if roles else _ROLES_OF[self.settings.reasoning.scheme]
        self._given = engines
        self._policy = policy
        self._planner = planner
        embedded = [r for r in ("base", "small") if engines is None and self._engine_settings(r).url is None]
        self._costs = Costs(SHARED_CORES if "base" in embedded else BATCHED)
        self._branches = "small" not in embedded  # in a batch further drafts are cheap, on shared cores dear
        self._stack = AsyncExitStack()
        self._thinking: dict[Role, bool] = {}
        self.engines: Mapping[Role, Engine] = engines or {}

    async def __aenter__(self) -> Self:
        try:
            if self._given is None:
                engines: dict[Role, Engine] = {}
                for role in self._roles:
                    engines[role] = await open_engine(role, self._engine_settings(role), self._streams(role))
                    self._stack.push_async_callback(engines[role].aclose)
                self.engines = engines
            for role, engine in self.engines.items():
                self._thinking[role] = await thinks(engine, self._engine_settings(role))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        self.engines = self._given or {}

    async def solve(
        self,
        problem: str | Sequence[Message],
        *,
        reasoning: ReasoningSettings | None = None,
        sampling: SamplingSettings | None = None,
        terms: Terms | None = None,
    ) -> Result:
        """The result of one problem (text, or chat messages that end with the user's).

        `reasoning` and `sampling` replace those of the settings for this call; `terms` bound it. Raises
        InputError for a problem that cannot be used, ContextOverflow for one that does not fit, EngineError
        if the base model fails.
        """
        tally = Tally()
        async with aclosing(
            self.stream(problem, reasoning=reasoning, sampling=sampling, terms=terms)
        ) as events:
            async for event in events:
                tally.take(event)
        return tally.result()

    async def stream(
        self,
        messages: str | Sequence[Message],
        *,
        reasoning: ReasoningSettings | None = None,
        sampling: SamplingSettings | None = None,
        terms: Terms | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The events of one problem as they happen; see `solve`. Closing it stops the models' work."""
        reasoning = fitted(self.settings.pair, "reasoning", reasoning or self.settings.reasoning)
        sampling = sampling or self.settings.sampling
        conversation = checked_messages(messages)
        run = await self._prepared(conversation, reasoning, sampling, terms or Terms())
        yield Started(
            at=0.0,
            scheme=run.policy.name if run.lost is None else reasoning.scheme,
            models={role: engine.model for role, engine in run.engines.items()},
            thinking=next(iter(run.turns.values())).thinking,
            problem=conversation[-1]["content"],
            settings={"reasoning": reasoning.model_dump(), "sampling": sampling.model_dump()},
            version=_VERSION,
            prompt_tokens={role: turn.prompt.tokens for role, turn in run.turns.items()},
        )
        try:
            loop = Loop(run)
        except ContextOverflow as error:
            yield Failed(0.0, type(error).__name__, str(error))
            raise
        async with aclosing(loop.events()) as events:
            async for event in events:
                yield event

    async def _prepared(
        self,
        conversation: Sequence[Message],
        reasoning: ReasoningSettings,
        sampling: SamplingSettings,
        terms: Terms,
    ) -> Run:
        session = uuid.uuid4().hex
        wanted = self._policy.roles if self._policy else _ROLES_OF[reasoning.scheme]
        if missing := [role for role in wanted if role not in self.engines]:
            how = "enter it first: async with SpecReason(...) as engine"
            if self.engines:
                how = f"pass roles={wanted!r} to SpecReason"
            raise ConfigError(
                f"scheme '{reasoning.scheme}' needs the {missing[0]} model, which is not connected; {how}"
            )
        text = with_instruction(conversation[-1]["content"], reasoning.instruction)
        asked = [*conversation[:-1], {"role": "user", "content": text}]
        turns, lost = await self._turns(wanted, asked)
        policy, judge_tokens = self._policy if lost is None else SinglePolicy("base"), 0
        if policy is None and reasoning.scheme == "specreason":
            question = await question_for(
                self.engines["base"], turns["base"], asked, self._judge_prompt(reasoning)
            )
            judge_tokens = question.tokens
            policy = SpecReasonPolicy(
                judge_signal(question, reasoning.judge_method),
                reasoning.threshold,
                reasoning.first_n_base_steps,
            )
        return Run(
            turns=turns,
            engines={role: self.engines[role] for role in turns},
            policy=policy or SinglePolicy("small" if reasoning.scheme == "small" else "base"),
            planner=self._planner() if self._planner else self._planner_for(reasoning),
            settings=reasoning,
            sampling=Sampling(sampling.temperature, sampling.top_p, sampling.seed),
            think_close={role: self._engine_settings(role).think_close for role in turns},
            session=session,
            judge_tokens=judge_tokens,
            terms=terms,
            lost=lost,
        )

    async def _turns(
        self, wanted: Sequence[Role], asked: Sequence[Message]
    ) -> tuple[dict[Role, OpenTurn], EngineError | None]:
        """Each model's turn, opened. If the small model fails and the base can do alone: its error too."""
        turns: dict[Role, OpenTurn] = {}
        lost: EngineError | None = None
        for role in wanted:
            engine, thinking = self.engines[role], self._thinking[role]
            try:
                turns[role] = await open_turn(engine, asked, self._engine_settings(role), thinking=thinking)
            except EngineError as error:
                if role == "base" or "base" not in wanted:
                    raise
                lost = error
        return turns, lost

    def _streams(self, role: Role) -> int:
        """How many places of one conversation a model works at, at the same time."""
        plan = self._plan_of(self.settings.reasoning)
        return plan.pens if role == "small" else 1 + plan.hedge

    def _planner_for(self, reasoning: ReasoningSettings) -> Planner:
        if reasoning.speculate == "auto" and reasoning.scheme == "specreason":
            return Auto(self._costs, self._plan_of(reasoning))
        return Always(self._plan_of(reasoning))

    def _plan_of(self, reasoning: ReasoningSettings) -> Plan:
        """What may overlap, by the settings."""
        several = reasoning.lookahead > 0 and reasoning.drafts_per_step > 1
        return Plan(
            "small",
            reasoning.lookahead,
            reasoning.drafts_per_step,
            reasoning.hedge,
            branches=several and self._branches,
        )

    def _engine_settings(self, role: Role) -> EngineSettings:
        return self.settings.base if role == "base" else self.settings.small

    def _judge_prompt(self, reasoning: ReasoningSettings) -> JudgePrompt:
        if reasoning.judge_prompt != "auto":
            return reasoning.judge_prompt
        return "paper" if self._given is None and self.settings.base.url is not None else "inline"


def roles_of(schemes: Iterable[str]) -> tuple[Role, ...]:
    """The models that any of these schemes needs, each once."""
    return tuple(dict.fromkeys(role for scheme in schemes for role in _ROLES_OF[scheme]))


async def open_engine(role: Role, settings: EngineSettings, streams: int = 1) -> Engine:
    """The engine that a section of the settings describes: connected, or loaded into this process.

    `streams`: how many places of one conversation it is to keep in its cache.
    """
    if settings.url is not None:
        return await connect(role, settings)
    if not settings.model:
        raise ConfigError(
            f"the {role} model is not set: set '{role}.url' (an endpoint) or '{role}.model' (weights in this "
            "process; specreason models list)"
        )
    room = settings.model_copy(update={"parallel": settings.parallel * streams})
    return await embedded.load(role, cache.require(settings.model), settings.model, room)


def resolve(settings: Settings) -> Settings:
    """The settings with what their pair says filled in; the embedded pair if nothing names a model."""
    named = settings.pair
    sections = {"base": settings.base, "small": settings.small}
    if named is None and all(not s.model and s.url is None for s in sections.values()):
        named = catalogue.EMBEDDED_PAIR
    if named is None:
        return settings
    pair = catalogue.pair(named)
    filled: dict[str, object] = {"pair": named, "reasoning": fitted(named, "reasoning", settings.reasoning)}
    for (name, section), model in zip(sections.items(), (pair.base, pair.small), strict=True):
        if section.url is None and not pair.embedded and not section.model:
            raise ConfigError(
                f"pair '{named}' runs on a GPU server: start one for {model.name} (for example "
                f"`vllm serve {model.name}`) and set '{name}.url'; see docs/engines.md"
            )
        fits = section if section.model else section.model_copy(update={"model": model.name})
        filled[name] = fitted(named, name, fits)
    return settings.model_copy(update=filled)


def fitted(pair: str | None, name: str, section: S) -> S:
    """A section of the settings with what suits the pair wherever the user said nothing."""
    suits: Mapping[str, Any] = catalogue.pair(pair).settings if pair else {}
    own = {key.split(".", 1)[1]: value for key, value in suits.items() if key.startswith(f"{name}.")}
    said = section.model_fields_set
    return section.model_copy(update={key: value for key, value in own.items() if key not in said})


def checked_messages(problem: str | Sequence[Message]) -> list[Message]:
    """The conversation to solve. Raises InputError if it is empty, not text, or not the user's turn."""
    messages: list[Message] = (
        [{"role": "user", "content": problem}] if isinstance(problem, str) else list(problem)
    )
    if not messages or messages[-1].get("role") != "user":
        raise InputError("the conversation must end with a message of the user")
    for message in messages:
        if message.get("role") not in {"system", "user", "assistant"} or "content" not in message:
            raise InputError(
                f"a message needs a role (system, user, assistant) and content: {dict(message)!r:.80}"
            )
        try:
            message["content"].encode()
        except UnicodeEncodeError:
            raise InputError("the problem is not valid Unicode text; save it as UTF-8") from None
    if not messages[-1]["content"].strip():
        raise InputError("the problem is empty; give the text of a problem")
    return messages
