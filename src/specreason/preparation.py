"""From a conversation and the settings to all that one run is given."""

import asyncio
import inspect
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from specreason.config import ReasoningSettings, SamplingSettings
from specreason.config.knobs import Section
from specreason.config.policies import knobs_of
from specreason.config.scheme import Role
from specreason.conversation import answers_directly, instructed
from specreason.engines.chat_format import OpenTurn, open_turn
from specreason.engines.protocol import Engine, Message, Sampling
from specreason.errors import ConfigError, EngineError
from specreason.extensions import extensions
from specreason.pair import Pair
from specreason.reasoning.events import Started
from specreason.reasoning.options import RunOptions
from specreason.reasoning.planning.adaptive import Adaptive
from specreason.reasoning.planning.costs import Costs
from specreason.reasoning.planning.fixed import Fixed
from specreason.reasoning.planning.plan import Plan, Planner
from specreason.reasoning.planning.possible import plan_of, possible_plans
from specreason.reasoning.policies.base_alone import OneModel
from specreason.reasoning.policies.contract import Policy, PolicySpec
from specreason.reasoning.run import Run
from specreason.reasoning.signals.task import Task

_VERSION = version("specreason")


@dataclass(frozen=True, slots=True)
class Asked:
    """One problem, and how it is to be solved. `knobs`: the sections of all policies."""

    conversation: Sequence[Message]
    reasoning: ReasoningSettings
    sampling: SamplingSettings
    knobs: Section
    options: RunOptions


async def prepared(
    pair: Pair,
    asked: Asked,
    costs: Costs,
    *,
    policy: PolicySpec | None = None,
    planner: Callable[[], Planner] | None = None,
) -> Run:
    """Open the models' turns, and make the policy and the planner for this problem.

    `policy` and `planner` replace those of the settings. Raises ConfigError for what cannot be combined,
    EngineError if a model fails.
    """
    reasoning, options = asked.reasoning, asked.options
    spec = policy or policy_named(reasoning.scheme.policy)
    check_combination(spec, reasoning, pair.further)
    engines = pair.of_scheme(reasoning.scheme, spec.roles)
    messages = instructed(asked.conversation, reasoning.instruction, options)
    turns, failure = await _turns(pair, engines, messages, options)
    roles = spec.roles if failure is None else ("base",)
    further = {name: pair.further[name] for name in spec.models}
    task = Task(messages, turns, {**engines, **further})
    direct = answers_directly(messages, options, turns)
    if direct:
        reasoning = reasoning.model_copy(update={"token_budget": 0})
        roles = (reasoning.answer_by if reasoning.answer_by in turns else next(iter(turns)),)
    alone = direct or failure is not None
    knobs = knobs_of(asked.knobs, spec.name) if policy is None else spec.knobs()
    return Run(
        turns=turns,
        engines={role: engines[role] for role in turns},
        policy=OneModel(roles[0]) if alone else await _made(spec, knobs, task),
        roles=roles,
        planner=planner() if planner else _planner(pair, reasoning, roles, costs),
        settings=reasoning,
        sampling=Sampling(**asked.sampling.model_dump()),
        think_close={role: pair.section(role).think_close for role in turns},
        session=uuid.uuid4().hex,
        room=task.room,  # known once the policy is made
        options=options,
        failure=failure,
        direct=direct,
        writers={"base": pair.decoder} if reasoning.scheme.decode and pair.decoder is not None else {},
        further=further,
    )


async def _made(spec: PolicySpec, knobs: Section, task: Task) -> Policy:
    made = spec.make(knobs, task)
    return await made if inspect.isawaitable(made) else made


def started(asked: Asked, run: Run, policy: PolicySpec | None) -> Started:
    """The event with which the run begins."""
    reasoning, spec = asked.reasoning, policy or policy_named(asked.reasoning.scheme.policy)
    users = (message["content"] for message in reversed(asked.conversation) if message["role"] == "user")
    return Started(
        at=0.0,
        scheme=policy.name if policy and run.failure is None else str(reasoning.scheme),
        models={role: engine.model for role, engine in run.engines.items()},
        thinking=next(iter(run.turns.values())).thinking,
        problem=next(users, ""),
        settings={
            "reasoning": reasoning.model_dump(),
            "sampling": asked.sampling.model_dump(),
            "policy": {spec.name: knobs_of(asked.knobs, spec.name).model_dump()},
        },
        version=_VERSION,
        prompt_tokens={role: turn.prompt.tokens for role, turn in run.turns.items()},
    )


def policy_named(name: str) -> PolicySpec:
    """The policy of a scheme."""
    return extensions("policies")[name]


def check_combination(spec: PolicySpec, reasoning: ReasoningSettings, further: Collection[str]) -> None:
    """Raise ConfigError if a policy does not go with a setting, or asks a model that is not there."""
    if spec.repairs is not None and len(spec.roles) > 1 and reasoning.on_reject not in spec.repairs:
        raise ConfigError(
            f"setting 'reasoning.on_reject' is '{reasoning.on_reject}', which does not go with policy "
            f"'{spec.name}'; set it to {' or '.join(spec.repairs)}"
        )
    if missing := [name for name in spec.models if name not in further]:
        raise ConfigError(
            f"policy '{spec.name}' asks a model that is not connected: set 'models.{missing[0]}.url'"
        )


def _planner(pair: Pair, reasoning: ReasoningSettings, roles: Sequence[Role], costs: Costs) -> Planner:
    if len(roles) == 1:  # one model writes all: more drafts of a step would only be thrown away
        return Fixed(Plan())
    in_process = pair.in_process("small")
    most = plan_of(reasoning, in_process=in_process)
    if reasoning.speculate == "always":
        return Fixed(most)
    return Adaptive(costs, most, possible_plans(reasoning, in_process=in_process))


async def _turns(
    pair: Pair, engines: Mapping[Role, Engine], messages: Sequence[Message], options: RunOptions
) -> tuple[dict[Role, OpenTurn], EngineError | None]:
    """The models' turns, opened together. If small fails and the base can do alone: its error too."""
    opening = (
        open_turn(engine, messages, pair.section(role), thinking=pair.thinks[role], tools=options.tools)
        for role, engine in engines.items()
    )
    opened = await asyncio.gather(*opening, return_exceptions=True)
    turns: dict[Role, OpenTurn] = {}
    failure: EngineError | None = None
    for role, turn in zip(engines, opened, strict=True):
        if not isinstance(turn, BaseException):
            turns[role] = turn
        elif isinstance(turn, EngineError) and role == "small" and "base" in engines:
            failure = turn
        else:
            raise turn
    return turns, failure
