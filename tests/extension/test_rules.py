"""What holds for every policy: nothing is written twice, tokens are told as generated, and auto's bound."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from specreason_extra import lookahead_reasoning, never

from specreason import (
    Accept,
    ConfigError,
    Context,
    Drafts,
    EngineSettings,
    EngineUnavailable,
    Event,
    Failed,
    More,
    PolicyError,
    PolicySpec,
    Settings,
    Signal,
    SignalMeasured,
    Signals,
    SpecReason,
    StepStart,
    Task,
    Write,
    fold,
)
from specreason.config.knobs import Section
from specreason.config.scheme import Role
from specreason.emulate.pair import direct, emulated_models
from specreason.emulate.profiles import PAPER, PROFILES, Profile
from specreason.emulate.script import Script
from specreason.emulate.skipping import run_skipping
from specreason.engines.connect import connect
from specreason.engines.protocol import Engine, Prompt
from specreason.engines.scripted import ScriptedEngine
from specreason.reasoning.result import Result
from specreason.reasoning.signals.contract import Subject

PROBLEMS = 20


# ---------------------------------------------------------------- the base model writes its own step


def pair(drafts: list[str], own: list[str]) -> dict[str, ScriptedEngine]:
    return {
        "small": ScriptedEngine("small", steps=drafts),
        "base": ScriptedEngine("base", steps=own, answer="It is \\boxed{8}."),
    }


async def solved(engines: dict[str, ScriptedEngine], policy: PolicySpec, **reasoning: Any) -> Result:
    asked = Settings.model_validate({"reasoning": reasoning})
    async with SpecReason(asked, engines=engines, policy=policy) as session:
        return await session.solve("What?")


@given(same=st.lists(st.booleans(), min_size=1, max_size=6), lookahead=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
async def test_a_step_that_is_there_already_is_not_written_again(same: list[bool], lookahead: int) -> None:
    ends = ["\n\n"] * (len(same) - 1) + ["\n</think>"]
    own = [f"Base {n} says so.{end}" for n, end in enumerate(ends)]
    drafts = [
        line if alike else f"Draft {n}.{end}"
        for n, (line, alike, end) in enumerate(zip(own, same, ends, strict=True))
    ]
    engines = pair(drafts, own)
    result = await solved(engines, lookahead_reasoning.POLICY, lookahead=lookahead)
    assert [step.text for step in result.steps] == [line.removesuffix("</think>") for line in own]
    assert [step.origin for step in result.steps] == ["draft" if alike else "instead" for alike in same]
    for role, engine in engines.items():
        tokens = result.tokens[role]
        assert tokens.generated == sum(call.generated for call in engine.calls)
        assert tokens.generated == tokens.kept + tokens.scored + tokens.discarded
    written = sum(step.base_tokens for step in result.steps)
    answered = len(["It", "is", "\\boxed{8}."])
    assert result.tokens["base"].kept == written + answered
    if not lookahead:  # every place has one step of the base model, whether it is kept or not
        assert sum(call.kind == "generate" for call in engines["base"].calls) == len(same) + 1


async def test_a_step_that_was_written_to_compare_is_recorded_as_such() -> None:
    engines = pair(["Mine.\n</think>"], ["Own.\n</think>"])
    result = await solved(engines, lookahead_reasoning.POLICY)
    (step,) = result.steps
    assert (step.author, step.origin, step.outcome, step.reason) == (
        "base",
        "instead",
        "rejected",
        "different",
    )
    assert step.draft == "Mine.\n"
    assert "base_step" in step.signals
    assert "rewrite" not in step.seconds


# ---------------------------------------------------------------- auto's bound holds for every policy


def emulated(profile: Profile, acceptance: float, policy: PolicySpec | None, **reasoning: Any) -> float:
    """Emulated seconds for the problems, one after the other."""

    async def main() -> float:
        script = Script(seed=1, acceptance=acceptance)
        engines: dict[Role, Engine] = {
            role: await connect(role, EngineSettings(url=f"http://{role}"), transport=direct(model))
            for role, model in emulated_models(script, profile).items()
        }
        asked = Settings.model_validate({"reasoning": reasoning, "sampling": {"seed": 5}})
        async with SpecReason(asked, engines=engines, policy=policy) as session:
            results = [await session.solve(f"This is problem {n}.") for n in range(PROBLEMS)]
        return sum(result.total_s for result in results)

    return run_skipping(main())


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("most", [{}, {"lookahead": 4}, {"on_reject": "hedge"}], ids=str)
def test_a_policy_that_rejects_every_draft_costs_auto_at_most_a_twentieth(
    profile: Profile, most: dict[str, Any]
) -> None:
    alone = emulated(profile, 0.6, None, scheme="base")
    assert emulated(profile, 0.6, never.POLICY, speculate="auto", **most) <= 1.05 * alone


@dataclass(frozen=True)
class Looking:
    """Asks the small model at every place, and then lets the base model write."""

    signal: Signal[float]

    def author(self, start: StepStart, known: Signals) -> Write | More:
        return Write("base") if known.of(self.signal) else More(self.signal)

    def verdict(self, drafts: Drafts, known: Signals) -> Accept:
        return Accept()


def looking(knobs: Section, task: Task) -> Looking:
    async def measure(context: Context) -> float:
        prompt = context.chain.prompts["small"]
        reply = await context.engines["small"].next_token_logprobs(prompt, session=context.session)
        return max(reply.logprobs.values(), default=0.0)

    return Looking(Signal("small_next_token", "small", measure, of="place"))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_policy_that_only_looks_costs_auto_at_most_a_twentieth(profile: Profile) -> None:
    alone = emulated(profile, 0.6, None, scheme="base")
    only = PolicySpec("looking", Section, looking)
    assert emulated(profile, 0.6, only, speculate="auto") <= 1.05 * alone


async def test_a_place_is_measured_once_and_becomes_one_event() -> None:
    engines = pair(["A.\n\n", "B.\n</think>"], ["Own a.\n\n", "Own b.\n</think>"])
    only = PolicySpec("looking", Section, looking)
    async with SpecReason(Settings(), engines=engines, policy=only) as session:
        events = [event async for event in session.stream("What?")]
    measured = [event for event in events if isinstance(event, SignalMeasured)]
    assert [(event.index, event.draft) for event in measured] == [(0, None), (1, None)]
    assert len(engines["small"].calls) == 2
    assert [step.signals for step in fold(events).steps] == [{"small_next_token": m.value} for m in measured]


def test_without_auto_the_same_policy_costs_much_more() -> None:
    assert emulated(PAPER, 0.6, never.POLICY) > 1.1 * emulated(PAPER, 0.6, None, scheme="base")


# ---------------------------------------------------------------- what others write may fail


@pytest.mark.parametrize("where", ["draft", "place"])
async def test_without_the_model_that_judges_the_base_model_goes_on_alone(where: Subject) -> None:
    async def measure(context: Context) -> float:
        reply = await context.engines["reward"].next_token_logprobs(Prompt(), session=context.session)
        return max(reply.logprobs.values())

    gone = EngineUnavailable("gone", engine="models.reward")
    engines = pair(["A.\n\n", "B.\n</think>"], ["Own a.\n\n", "Own b.\n</think>"])
    engines["reward"] = ScriptedEngine("reward", failures={1: gone})
    rule = rule_of(Signal("reward", "other", measure, of=where), models=("reward",))
    async with SpecReason(Settings(), engines=engines, policy=rule) as session:
        result = await session.solve("What?")
    assert [step.author for step in result.steps] == ["small", "base"]
    assert result.degraded == "models.reward: gone"
    assert result.answer == "8"
    assert result.tokens["reward"].scored == 1


async def test_a_model_that_is_not_there_is_named_before_anything_runs() -> None:
    async def measure(context: Context) -> float:
        return 1.0

    rule = rule_of(Signal("reward", "other", measure), models=("reward",))
    async with SpecReason(Settings(), engines=pair(["A."], ["B."]), policy=rule) as session:
        with pytest.raises(ConfigError, match=r"set 'models\.reward\.url'"):
            await session.solve("What?")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("verdict", "policy failed in Asking.verdict: ZeroDivisionError"),
        ("measure", "signal 'odd' failed: KeyError: 'nobody'"),
        ("again", "signal 'odd' was asked for again, and is known already"),
    ],
)
async def test_a_fault_of_a_policy_is_an_error_that_says_where(fault: str, said: str) -> None:
    async def measure(context: Context) -> float:
        if fault == "measure":
            await context.engines["nobody"].tokenize("x")
        return 1.0

    rule = rule_of(Signal("odd", "free", measure), fault=fault)
    events: list[Event] = []

    async def listen(session: SpecReason) -> None:
        async for event in session.stream("What?"):
            events.append(event)

    async with SpecReason(Settings(), engines=pair(["A."], ["B."]), policy=rule) as session:
        with pytest.raises(PolicyError, match=said.replace(".", r"\.")):
            await listen(session)
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.error == "PolicyError"


def rule_of(signal: Signal[float], models: tuple[str, ...] = (), fault: str = "") -> PolicySpec:
    """A rule that accepts every draft once the signal is known."""

    @dataclass(frozen=True)
    class Asking:
        def author(self, start: StepStart, known: Signals) -> Write | More:
            missing = signal.of == "place" and known.of(signal) is None
            return More(signal) if missing else Write("small")

        def verdict(self, drafts: Drafts, known: Signals) -> Accept | More:
            if known.of(signal) is None or fault == "again":
                return More(signal)
            return Accept(1 // 0 if fault == "verdict" else 0)

    return PolicySpec("asking", Section, lambda knobs, task: Asking(), models=models)
