"""The public face: a pair of models, connected once, that solves problems."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from importlib.metadata import version
from types import TracebackType
from typing import Self

from specreason.config import (
    EngineSettings,
    ReasoningSettings,
    SamplingSettings,
    Settings,
    decodes,
    method_of,
)
from specreason.engines.chat_format import OpenTurn, open_turn, thinks
from specreason.engines.kinds import in_process
from specreason.engines.opening import (
    DECODER,
    EngineName,
    check_judge,
    check_same_model,
    engines_of,
    judges,
    open_decoder,
    open_engine,
    roles_of,
)
from specreason.engines.protocol import Engine, Message, Sampling
from specreason.errors import (
    ConfigError,
    ContextOverflow,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    InputError,
)
from specreason.models.pair_settings import fitted, resolve
from specreason.reasoning.auto import Auto
from specreason.reasoning.chain import Role
from specreason.reasoning.costs import BATCHED, SHARED_CORES, Costs
from specreason.reasoning.events import Event, Failed, Interrupted, Started
from specreason.reasoning.judging import JudgePrompt, judge_signal, question_for
from specreason.reasoning.loop import Loop
from specreason.reasoning.plan import Always, Plan, Planner
from specreason.reasoning.policies.contract import Policy
from specreason.reasoning.policies.single import SinglePolicy
from specreason.reasoning.policies.specreason import SpecReasonPolicy
from specreason.reasoning.prompts import instruction_for, with_instruction
from specreason.reasoning.result import Result, Tally
from specreason.reasoning.run import Run
from specreason.reasoning.terms import Patience, Terms

_VERSION = version("specreason")


class SpecReason:
    """Solves problems by speculative reasoning.

        async with SpecReason(load_settings()) as engine:
            result = await engine.solve("What is 12 * 13?")

    Entering connects (or loads) the models that the scheme needs; `roles` asks for others, so that several
    schemes can be run on one pair: "base+decode" is the base model with token-level speculation. `engines`
    and `decoder` (that last one) use engines of your own instead. `policy` replaces the rule that
    `settings.reasoning.scheme` names; `planner` makes the plan of each run (what overlaps).
    Entering raises EngineError, ModelFileError or ConfigError.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        roles: Sequence[EngineName] | None = None,
        engines: Mapping[Role, Engine] | None = None,
        decoder: Engine | None = None,
        policy: Policy | None = None,
        planner: Callable[[], Planner] | None = None,
    ) -> None:
        self.settings = resolve(settings or Settings())
        self._seats = tuple(roles) if roles else engines_of([self.settings.reasoning.scheme])
        self._given = None if engines is None else (engines, decoder)
        self._policy = policy
        self._planner = planner
        self._costs: dict[bool, Costs] = {}  # with token-level speculation underneath, and without
        self._stack = AsyncExitStack()
        self._thinking: dict[Role, bool] = {}
        self.engines, self.decoder = self._given or ({}, None)

    async def __aenter__(self) -> Self:
        try:
            if self._given is None:
                self.engines, self.decoder = await self._opened()
            if self.decoder is not None:
                self._thinking["base"] = await thinks(self.decoder, self.settings.base)
            for role, engine in self.engines.items():
                self._thinking[role] = await thinks(engine, self._engine_settings(role))
            more = SHARED_CORES if self._in_process("base") else BATCHED
            self._costs = self._costs or {decoding: Costs(more) for decoding in (False, True)}
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _opened(self) -> tuple[Mapping[Role, Engine], Engine | None]:
        engines: dict[Role, Engine] = {}
        decoder: Engine | None = None
        roles: list[Role] = [seat for seat in self._seats if seat != DECODER]
        if DECODER in self._seats:  # first: what cannot be is found out before anything is loaded
            decoder = await open_decoder(self.settings, self._streams("base"))
            self._stack.push_async_callback(decoder.aclose)
            if not judges(decoder) and "small" in roles and "base" not in roles:
                roles.append("base")  # someone has to judge
        for role in roles:
            engines[role] = await open_engine(role, self._engine_settings(role), self._streams(role))
            self._stack.push_async_callback(engines[role].aclose)
        if decoder is not None and "base" in engines:
            check_same_model(engines["base"], decoder)
        return engines, decoder

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        self.engines, self.decoder = self._given or ({}, None)

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
        terms = terms or Terms()
        patience, run = Patience(terms.resume_within), None
        while run is None:
            try:
                run = await self._prepared(conversation, reasoning, sampling, terms)
            except (EngineUnavailable, EngineTimeout) as error:
                if patience.begins:
                    yield Interrupted(0.0, str(error))
                if not await patience.pause():
                    yield Failed(0.0, type(error).__name__, str(error))
                    raise
        yield Started(
            at=0.0,
            scheme=self._policy.name if self._policy and run.lost is None else reasoning.scheme,
            models={role: engine.model for role, engine in run.engines.items()},
            thinking=next(iter(run.turns.values())).thinking,
            problem=next((m["content"] for m in reversed(conversation) if m["role"] == "user"), ""),
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

    @property
    def seated(self) -> Mapping[EngineName, Engine]:
        """The connected engines, the decoder among them."""
        engines: dict[EngineName, Engine] = {**self.engines}
        return engines if self.decoder is None else {**engines, DECODER: self.decoder}

    async def _prepared(
        self,
        conversation: Sequence[Message],
        reasoning: ReasoningSettings,
        sampling: SamplingSettings,
        terms: Terms,
    ) -> Run:
        session = uuid.uuid4().hex
        method, decoding = method_of(reasoning.scheme), decodes(reasoning.scheme)
        wanted = self._policy.roles if self._policy else roles_of(reasoning.scheme)
        engines = self._engines_for(reasoning.scheme, wanted)
        asked = _with_instruction(conversation, reasoning.instruction, terms)
        turns, lost = await self._turns(engines, asked, terms)
        policy, judge_tokens = self._policy if lost is None else SinglePolicy("base"), 0
        direct = _answers_directly(asked, terms, turns)
        if direct:
            reasoning = reasoning.model_copy(update={"token_budget": 0})
            policy = SinglePolicy(reasoning.answer_by if reasoning.answer_by in turns else next(iter(turns)))
        if policy is None and method == "specreason":
            check_judge(engines["base"])
            question = await question_for(
                engines["base"], turns["base"], asked, self._judge_prompt(reasoning)
            )
            judge_tokens = question.tokens
            policy = SpecReasonPolicy(
                judge_signal(question, reasoning.judge_method),
                reasoning.threshold,
                reasoning.first_n_base_steps,
            )
        return Run(
            turns=turns,
            engines={role: engines[role] for role in turns},
            writers={"base": self.decoder} if decoding and self.decoder is not None else {},
            policy=policy or SinglePolicy("small" if method == "small" else "base"),
            planner=self._planner() if self._planner else self._planner_for(reasoning),
            settings=reasoning,
            sampling=Sampling(
                sampling.temperature, sampling.top_p, sampling.seed, sampling.top_k, sampling.min_p
            ),
            think_close={role: self._engine_settings(role).think_close for role in turns},
            session=session,
            judge_tokens=judge_tokens,
            terms=terms,
            lost=lost,
            direct=direct,
        )

    def _engines_for(self, scheme: str, wanted: Sequence[Role]) -> dict[Role, Engine]:
        """The models of a run. Raises ConfigError if one of them, or the decoder, is not connected."""
        engines: dict[Role, Engine] = {role: self.engines[role] for role in wanted if role in self.engines}
        seats: list[EngineName] = [*wanted]
        if decodes(scheme) and "base" in wanted:
            seats = [DECODER, *(role for role in wanted if role != "base")]
            # It judges too, where it can: one cache then holds the chain, and reads each draft once.
            if self.decoder is not None and (judges(self.decoder) or "base" not in engines):
                engines["base"] = self.decoder
        if missing := [seat for seat in seats if seat not in self.seated]:
            how = "enter it first: async with SpecReason(...) as engine"
            if self.seated:
                how = f"pass roles={tuple(seats)!r} to SpecReason"
            raise ConfigError(
                f"scheme '{scheme}' needs the {missing[0]} model, which is not connected; {how}"
            )
        return engines

    async def _turns(
        self, engines: Mapping[Role, Engine], asked: Sequence[Message], terms: Terms
    ) -> tuple[dict[Role, OpenTurn], EngineError | None]:
        """The models' turns, opened together. If small fails and the base can do alone: its error too."""
        opening = (
            open_turn(
                engine, asked, self._engine_settings(role), thinking=self._thinking[role], tools=terms.tools
            )
            for role, engine in engines.items()
        )
        opened = await asyncio.gather(*opening, return_exceptions=True)
        turns: dict[Role, OpenTurn] = {}
        lost: EngineError | None = None
        for role, turn in zip(engines, opened, strict=True):
            if not isinstance(turn, BaseException):
                turns[role] = turn
            elif isinstance(turn, EngineError) and role == "small" and "base" in engines:
                lost = turn
            else:
                raise turn
        return turns, lost

    def _streams(self, role: Role) -> int:
        """How many places of one conversation a model works at, at the same time."""
        plan = self._plan_of(self.settings.reasoning)
        return plan.pens if role == "small" else 1 + plan.hedge

    def _planner_for(self, reasoning: ReasoningSettings) -> Planner:
        if self._policy is None and method_of(reasoning.scheme) != "specreason":
            return Always(Plan())  # one model writes all: more drafts of a step would only be thrown away
        if reasoning.speculate == "auto" and method_of(reasoning.scheme) == "specreason":
            return Auto(self._costs[decodes(reasoning.scheme)], self._plan_of(reasoning))
        return Always(self._plan_of(reasoning))

    def _plan_of(self, reasoning: ReasoningSettings) -> Plan:
        """What may overlap, by the settings."""
        several = reasoning.lookahead > 0 and reasoning.drafts_per_step > 1
        return Plan(
            "small",
            reasoning.lookahead,
            reasoning.drafts_per_step,
            reasoning.hedge,
            # In a batch further drafts are cheap, on shared cores dear.
            branches=several and not self._in_process("small"),
        )

    def _in_process(self, role: Role) -> bool:
        engine = self.engines.get(role) or (self.decoder if role == "base" else None)
        if engine is None:  # not opened yet
            return in_process(role, self._engine_settings(role))
        return engine.capabilities.in_process

    def _engine_settings(self, role: Role) -> EngineSettings:
        return self.settings.base if role == "base" else self.settings.small

    def _judge_prompt(self, reasoning: ReasoningSettings) -> JudgePrompt:
        if reasoning.judge_prompt != "auto":
            return reasoning.judge_prompt
        return "paper" if self._given is None and not self._in_process("base") else "inline"


def _with_instruction(conversation: Sequence[Message], setting: str, terms: Terms) -> list[Message]:
    """The conversation, the instruction put after the problem where that is what comes last."""
    *before, last = conversation
    if last["role"] != "user":
        return list(conversation)
    instruction = instruction_for(setting, formed=terms.constraint is not None, tools=bool(terms.tools))
    return [*before, {**last, "content": with_instruction(last["content"], instruction)}]


def _answers_directly(messages: Sequence[Message], terms: Terms, turns: Mapping[Role, OpenTurn]) -> bool:
    """Whether the answer is written at once: a turn is gone on with, or a reply that may call tools.

    A model without a thinking block calls tools in its reply, which then cannot be the chain.
    """
    free_calls = bool(terms.tools) and terms.constraint is None
    goes_on = messages[-1]["role"] == "assistant"
    return (goes_on or free_calls) and not any(turn.thinking for turn in turns.values())


def checked_messages(problem: str | Sequence[Message]) -> list[Message]:
    """The conversation to solve. Raises InputError if it is empty, no text, or has no turn to answer."""
    messages: list[Message] = (
        [{"role": "user", "content": problem}] if isinstance(problem, str) else list(problem)
    )
    if not messages or messages[-1].get("role") not in {"user", "tool", "assistant"}:
        raise InputError(
            "the conversation must end with a message of the user, a tool or the assistant (to go on with)"
        )
    for message in messages:
        if message.get("role") not in {"system", "user", "assistant", "tool"} or "content" not in message:
            raise InputError(
                f"a message needs a role (system, user, assistant, tool) and content: {dict(message)!r:.80}"
            )
        try:
            message["content"].encode()
        except UnicodeEncodeError:
            raise InputError("the problem is not valid Unicode text; save it as UTF-8") from None
    last = messages[-1]
    if last["role"] == "user" and not last["content"].strip():
        raise InputError("the problem is empty; give the text of a problem")
    if last["role"] == "assistant" and (not last["content"].strip() or last.get("tool_calls")):
        raise InputError("the conversation ends with an assistant's message that has no text to go on with")
    return messages
