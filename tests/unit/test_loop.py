"""The loop from question to answer, on scripted engines."""

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from method import method

from specreason.config import ReasoningSettings, SamplingSettings, Settings
from specreason.config.scheme import Role
from specreason.engines.protocol import Segment
from specreason.engines.scripted import ScriptedEngine
from specreason.errors import ContextOverflow, EngineError, EngineUnavailable
from specreason.reasoning.events import (
    AnswerDelta,
    CallEnded,
    Event,
    Failed,
    Fallback,
    Finished,
    SignalMeasured,
    Started,
    StepDrafted,
    StepKept,
    StepRejected,
    ThinkingEnded,
    from_json,
    to_json,
)
from specreason.reasoning.result import Result, fold
from specreason.session import SpecReason

T = TypeVar("T")

SMALL = ("Two and two is 4.\n\n", "Twice that is 9.\n\n", "That is all.\n</think>")
BASE = ("Base adds to 4.\n\n", "Twice that is 8.\n\n", "Base is done.\n</think>")
ANSWER = "It is \\boxed{8}."


def small(steps: Sequence[str] = SMALL, **settings: Any) -> ScriptedEngine:
    return ScriptedEngine("small", steps=steps, answer="Small says \\boxed{9}.", **settings)


def base(steps: Sequence[str] = BASE, **settings: Any) -> ScriptedEngine:
    return ScriptedEngine("base", steps=steps, answer=ANSWER, **settings)


@dataclass(slots=True)
class Unreading(ScriptedEngine):
    """Fails to read the steps of another model."""

    async def tokenize(self, text: str, *, control: bool = False) -> Segment:
        if text in BASE:
            raise EngineError("cannot read", engine=self.name)
        return Segment(text, tuple(map(ord, text)))


@dataclass
class Told:
    """What a run told, and how it broke off if it did."""

    events: list[Event] = field(default_factory=list[Event])
    error: EngineError | None = None

    @property
    def result(self) -> Result:
        return fold(self.events)

    @property
    def authors(self) -> list[Role]:
        return [step.author for step in self.result.steps]

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


async def run(
    drafter: ScriptedEngine, judge: ScriptedEngine, sampling: SamplingSettings | None = None, **settings: Any
) -> Told:
    told = Told()
    engines: Mapping[Role, ScriptedEngine] = {"base": judge, "small": drafter}
    async with SpecReason(Settings(), engines=engines) as session:
        try:
            asked = method(**settings)
            stream = session.stream(
                "What?", reasoning=asked.reasoning, policy=asked.policy, sampling=sampling
            )
            async with aclosing(stream) as events:
                async for event in events:
                    told.events.append(event)
        except EngineError as error:
            told.error = error
    return told


def kinds(engine: ScriptedEngine) -> list[str]:
    return [call.kind for call in engine.calls]


def untimed(event: Event) -> dict[str, Any]:
    """The event without what depends on the clock."""
    shown: dict[str, Any] = json.loads(to_json(event))
    shown.get("step", {}).pop("seconds", None)
    return {k: v for k, v in shown.items() if k not in {"at", "seconds"}}


def untimed_result(result: Result) -> Result:
    steps = tuple(replace(step, seconds={}) for step in result.steps)
    return replace(result, steps=steps, seconds={}, total_s=0.0)


# ---------------------------------------------------------------- who writes, what stands


async def test_good_drafts_all_stand() -> None:
    told = await run(small(), base())
    result = told.result
    assert told.authors == ["small"] * 3
    assert result.thinking == "".join(SMALL).removesuffix("</think>")
    assert (result.answer, result.answer_text, result.ended) == ("8", ANSWER, "closed")
    assert (result.drafts, result.accepted, result.acceptance_rate) == (3, 3, 1.0)
    assert result.finished
    assert isinstance(told.events[0], Started)
    assert isinstance(told.events[-1], Finished)


async def test_bad_drafts_are_all_rewritten() -> None:
    told = await run(small(("Bad a.\n\n", "Bad b.\n\n", "Bad c.\n\n")), base(scores={"Bad": "0"}))
    result = told.result
    assert told.authors == ["base"] * 3
    assert all(step.origin == "rewrite" and step.score == 0 for step in result.steps)
    assert (result.accepted, result.acceptance_rate) == (0, 0.0)
    assert [event.reason for event in told.of(StepRejected)] == ["score"] * 3
    assert result.tokens["small"].kept == 0
    assert result.tokens["small"].discarded >= 9
    assert result.answer == "8"


async def test_one_bad_draft_is_rewritten_and_told_in_order() -> None:
    told = await run(small(), base(scores={"is 9": "2"}))
    assert told.authors == ["small", "base", "small"]
    about_second = [e.event for e in told.events if getattr(e, "index", None) == 1]
    assert about_second == [
        "step_drafted",
        "signal_measured",
        "step_rejected",
    ]
    assert told.result.steps[1].text == BASE[1]


async def test_the_base_model_writes_the_first_steps() -> None:
    told = await run(small(), base(), first_n_base_steps=2)
    assert told.authors == ["base", "base", "small"]
    assert told.result.drafts == 1
    assert all(step.outcome != "rejected" for step in told.result.steps)


@pytest.mark.parametrize(("score", "kept"), [("7", True), ("6", False)])
async def test_a_score_at_the_threshold_stands(score: str, *, kept: bool) -> None:
    told = await run(small(("Bad.\n\n", *SMALL[1:])), base(scores={"Bad": score}), threshold=7)
    assert (told.authors[0] == "small") is kept


async def test_expected_scores_compare_as_means() -> None:
    scores = {"is 4": {"9": 0.5, "4": 0.5}}
    told = await run(small(), base(scores=scores), judge_method="expected", threshold=6.6)
    assert told.of(SignalMeasured)[0].value == pytest.approx(6.5)
    assert told.authors == ["base", "small", "small"]


async def test_what_is_no_score_is_rejected_and_counted_apart() -> None:
    told = await run(small(), base(scores={"is 9": "hm"}), threshold=0)
    assert [event.reason for event in told.of(StepRejected)] == ["unscorable"]
    assert (told.result.unscorable, told.result.accepted, told.result.drafts) == (1, 2, 3)


# ---------------------------------------------------------------- when thinking ends


async def test_a_draft_in_a_circle_is_rewritten_and_the_run_goes_on() -> None:
    told = await run(small(("Again.\n\n", "Again.\n\n", "New.\n</think>")), base())
    assert told.authors == ["small", "base", "small"]
    assert [event.reason for event in told.of(StepRejected)] == ["repetition"]
    assert len(told.of(SignalMeasured)) == 2


async def test_a_circle_that_the_base_model_joins_ends_thinking() -> None:
    told = await run(small(("Again.\n\n",) * 9), base(("Again.\n\n",) * 9))
    assert (len(told.result.steps), told.result.ended, told.result.answer) == (1, "repetition", "8")


async def test_a_model_that_writes_nothing_but_line_breaks_is_ended() -> None:
    told = await run(small(("\n" * 16,) * 9), base(), scheme="small", max_step_tokens=16)
    assert ([step.text.strip() for step in told.result.steps], told.result.ended) == ([""], "repetition")


async def test_a_model_alone_in_a_circle_is_ended() -> None:
    told = await run(small(("Again.\n\n",) * 9), base(), scheme="small")
    assert (len(told.result.steps), told.result.ended, told.result.answer) == (1, "repetition", "9")


async def test_the_budget_ends_thinking_and_the_answer_is_still_written() -> None:
    told = await run(
        small(("One two three.\n\n", "Four five six.\n\n", "Seven.\n\n")), base(), token_budget=6
    )
    assert (told.result.ended, told.result.answer) == ("budget", "8")
    assert told.of(ThinkingEnded)[0].tokens == 6
    assert [step.end for step in told.result.steps] == ["boundary", "length"]


async def test_discarded_drafts_may_count_against_the_budget() -> None:
    drafts, rewrites = ("Bad a b c.\n\n",) * 5, tuple(f"Good {n}.\n\n" for n in range(5))
    judge = base(rewrites, scores={"Bad": "0"})
    told = await run(small(drafts), judge, token_budget=20, budget_counts="generated")
    assert (told.result.ended, told.result.answer) == ("budget", "8")
    discarded = sum(event.tokens for event in told.of(StepRejected))
    kept = sum(step.tokens for step in told.result.steps)
    assert discarded + kept == 20


async def test_a_budget_that_a_rejected_draft_uses_up_ends_thinking() -> None:
    judge = base(scores={"Bad": "0"})
    told = await run(small(("Bad a b c.\n\n",)), judge, token_budget=5, budget_counts="generated")
    assert (told.result.ended, told.result.steps, told.result.answer) == ("budget", (), "8")


async def test_a_long_step_is_cut() -> None:
    told = await run(small(("a b c d e f.\n\n", "End.\n</think>")), base(), scheme="small", max_step_tokens=3)
    assert [step.text for step in told.result.steps][:3] == ["a b c", " d e f.", "\n\nEnd.\n"]
    assert told.result.steps[0].end == "length"


async def test_what_follows_the_close_in_a_draft_is_dropped() -> None:
    told = await run(small(("One.\n\n", "Two.\n</think>\n\nThe answer is 1.")), base())
    assert (told.result.thinking, told.result.ended) == ("One.\n\nTwo.\n", "closed")
    assert told.result.answer_text == ANSWER


async def test_a_model_that_stops_ends_thinking() -> None:
    told = await run(small(("One.\n\n", "Two.")), base())
    assert (told.result.ended, told.result.answer) == ("stopped", "8")


async def test_a_boxed_answer_in_a_kept_step_ends_thinking_if_asked_for() -> None:
    drafts = ("So \\boxed{8}.\n\n", "And more.\n</think>")
    assert (await run(small(drafts), base())).result.ended == "answer"
    assert (await run(small(drafts), base(), end_on_answer=False)).result.ended == "closed"


async def test_the_small_model_may_write_the_answer() -> None:
    assert (await run(small(), base(), answer_by="small")).result.answer == "9"


async def test_an_answer_is_cut_at_its_limit() -> None:
    assert (await run(small(), base(), answer_tokens=2)).result.answer_text == "It is"


# ---------------------------------------------------------------- failures


async def test_without_the_drafter_the_base_model_goes_on() -> None:
    told = await run(small(failures={0: EngineUnavailable("gone", engine="small")}), base())
    assert told.error is None
    assert told.authors == ["base"] * 3
    assert [event.reason for event in told.of(Fallback)] == ["small: gone"]
    assert (told.result.degraded, told.result.answer) == ("small: gone", "8")


async def test_a_drafter_lost_on_the_way_keeps_its_steps() -> None:
    drafter = small(failures={1: EngineError("gone", engine="small")})
    told = await run(drafter, base(), answer_by="small")
    assert told.authors == ["small", "base", "base"]
    assert told.result.degraded == "small: gone"
    assert told.result.answer == "8"


async def test_without_the_drafter_the_base_model_answers() -> None:
    # Its calls: three drafts, then the answer.
    drafter = small(failures={3: EngineError("gone", engine="small")})
    told = await run(drafter, base(), answer_by="small")
    assert len(told.of(StepDrafted)) == 3
    assert [event.reason for event in told.of(Fallback)] == ["small: gone"]
    assert told.result.answer == "8"
    assert told.result.degraded


async def test_an_answer_that_breaks_off_is_a_failure() -> None:
    drafter = small(failures={3: EngineError("gone", engine="small")}, fails_after=2)
    told = await run(drafter, base(), answer_by="small")
    assert told.names[-1] == "failed"


async def test_the_small_model_alone_has_no_acceptance_rate() -> None:
    assert (await run(small(), base(), scheme="small")).result.acceptance_rate is None


async def test_a_drafter_lost_while_the_base_model_writes_is_told() -> None:
    told = await run(Unreading("small", steps=SMALL), base(vocabulary="other"), first_n_base_steps=1)
    assert told.authors == ["base"] * 3
    assert told.result.degraded == "small: cannot read"


async def test_a_stream_that_breaks_in_a_step_is_opened_once_more() -> None:
    drafter = small(failures={0: EngineUnavailable("broke")}, fails_after=2)
    told = await run(drafter, base())
    assert told.authors == ["small"] * 3
    assert told.result.degraded is None


@pytest.mark.parametrize("scheme", ["specreason", "base"])
async def test_without_the_base_model_the_run_fails(scheme: str) -> None:
    failing = base(failures={0: EngineError("gone", engine="base")})
    told = await run(small(), failing, scheme=scheme)
    assert str(told.error) == "base: gone"
    assert isinstance(told.events[0], Started)
    last = told.events[-1]
    assert isinstance(last, Failed)
    assert (last.error, last.message) == ("EngineError", "base: gone")
    assert not told.result.finished


async def test_a_failure_keeps_the_steps_so_far() -> None:
    told = await run(small(), base(failures={1: EngineError("gone", engine="base")}))
    assert told.error is not None
    assert [step.text for step in told.result.steps] == [SMALL[0]]
    assert told.names[-1] == "failed"


async def test_a_failing_answer_keeps_the_chain() -> None:
    told = await run(small(), base(failures={3: EngineError("gone", engine="base")}))
    assert len(told.result.steps) == 3
    assert told.names[-1] == "failed"


async def test_a_small_model_alone_has_no_substitute() -> None:
    told = await run(small(failures={0: EngineError("gone")}), base(), scheme="small")
    assert told.error is not None
    assert told.of(Fallback) == []


async def test_a_problem_beyond_the_context_is_refused_before_any_call() -> None:
    judge = base(context_length=10)
    told = await run(small(), judge)
    assert isinstance(told.error, ContextOverflow)
    assert "base.context" in str(told.error)
    assert judge.calls == []


async def test_a_problem_beyond_the_context_is_told_as_a_failure() -> None:
    told = await run(small(), base(context_length=10))
    assert told.names == ["started", "failed"]


async def test_a_full_context_ends_thinking() -> None:
    steps = tuple(f"Step {n} of a very long chain of thought.\n\n" for n in range(50))
    judge = base(context_length=200)
    told = await run(small(steps), judge)
    assert (told.result.ended, told.result.answer) == ("context", "8")
    assert all((call.prompt.tokens or 0) < 200 for call in judge.calls)


# ---------------------------------------------------------------- kinds of engines


async def test_models_with_different_vocabularies_read_the_same_text() -> None:
    drafter, judge = small(), base(vocabulary="other", scores={"is 9": "2"})
    told = await run(drafter, judge)
    same = await run(small(), base(scores={"is 9": "2"}))
    assert untimed_result(told.result) == untimed_result(same.result)
    for segment in judge.calls[-1].prompt.segments:
        assert segment == await judge.tokenize(segment.text)


async def test_text_only_engines_tell_the_same_story() -> None:
    told = await run(small(token_ids=False), base(token_ids=False, scores={"is 9": "2"}))
    assert told.authors == ["small", "base", "small"]
    assert told.result.answer == "8"


async def test_without_a_thinking_block_a_boxed_answer_is_the_end() -> None:
    judge = base(thinking=False)
    told = await run(small(("One.\n\n", "So \\boxed{4}.\n\n", "More.\n\n"), thinking=False), judge)
    assert (told.result.ended, told.result.answer) == ("answer", "4")
    assert told.result.answer_text == "So \\boxed{4}."
    assert kinds(judge) == ["score", "score"]


async def test_without_a_thinking_block_and_a_box_the_answer_is_asked_for() -> None:
    judge = base(("A.\n\n", "B.\n\n", "42} and so on"), thinking=False)
    told = await run(small(("One.\n\n", "Two.\n\n", "x"), thinking=False), judge, token_budget=4)
    assert told.result.ended == "budget"
    assert told.result.answer_text == "Final answer: \\boxed{42}"
    assert told.result.answer == "42"
    assert judge.calls[-1].closed_early


# ---------------------------------------------------------------- streams and events


@pytest.mark.parametrize("scheme", ["base", "small"])
async def test_a_model_alone_thinks_in_one_open_stream(scheme: str) -> None:
    drafter, judge = small(), base()
    told = await run(drafter, judge, scheme=scheme)
    alone, idle = (judge, drafter) if scheme == "base" else (drafter, judge)
    assert kinds(alone) == ["generate", "generate"]
    assert idle.calls == []
    assert [call.phase for call in told.of(CallEnded)][-1] == "answer"


async def test_a_call_that_fails_is_told_too() -> None:
    told = await run(small(), base(failures={0: EngineError("gone")}, fails_after=2), scheme="base")
    assert [(call.phase, call.generated_tokens) for call in told.of(CallEnded)] == [("base", 2)]
    assert told.names[-1] == "failed"


async def test_every_call_is_told_and_its_tokens_add_up() -> None:
    drafter, judge = small(), base(scores={"is 9": "2"})
    told = await run(drafter, judge)
    assert len(told.of(CallEnded)) == len(drafter.calls) + len(judge.calls)
    for role, engine in (("small", drafter), ("base", judge)):
        calls = [call for call in told.of(CallEnded) if call.role == role]
        assert sum(call.generated_tokens for call in calls) == sum(call.generated for call in engine.calls)
        assert all(call.delivered_tokens <= call.generated_tokens for call in calls)
        tokens = told.result.tokens[role]
        assert tokens.generated == tokens.kept + tokens.scored + tokens.discarded


@pytest.mark.parametrize("scheme", ["specreason", "base", "small"])
async def test_leaving_the_stream_closes_the_calls(scheme: str) -> None:
    drafter, judge = small(), base()
    settings = Settings(reasoning=ReasoningSettings.model_validate({"scheme": scheme}))
    async with SpecReason(settings, engines={"base": judge, "small": drafter}) as session:
        async with aclosing(session.stream("What?")) as events:
            async for event in events:
                if isinstance(event, StepKept):
                    break
        writing = judge if scheme == "base" else drafter
        assert [call.closed_early for call in writing.calls] == [True]


async def test_leaving_while_the_answer_is_written_closes_its_call() -> None:
    judge = base()
    async with (
        SpecReason(Settings(), engines={"base": judge, "small": small()}) as session,
        aclosing(session.stream("What?")) as events,
    ):
        async for event in events:
            if isinstance(event, AnswerDelta):
                break
    assert judge.calls[-1].closed_early


async def test_the_events_fold_to_the_result_of_solve() -> None:
    told = await run(small(), base(scores={"is 9": "2"}))
    engines: Mapping[Role, ScriptedEngine] = {"base": base(scores={"is 9": "2"}), "small": small()}
    async with SpecReason(Settings(), engines=engines) as session:
        solved = await session.solve("What?")
    assert untimed_result(solved) == untimed_result(told.result)
    assert told.result.as_dict()["thinking"] == told.result.thinking


async def test_events_survive_the_trace() -> None:
    failed = await run(small(failures={1: EngineError("x")}), base(failures={2: EngineError("y")}))
    for told in (await run(small(), base(scores={"is 9": "2"})), failed):
        assert [from_json(to_json(event)) for event in told.events] == told.events
        assert not any("\n" in to_json(event) for event in told.events)


async def test_the_same_seed_gives_the_same_events() -> None:
    stories = [
        [
            untimed(e)
            for e in (await run(small(), base(scores={"is 9": "2"}), SamplingSettings(seed=7))).events
        ]
        for _ in range(2)
    ]
    assert stories[0] == stories[1]


async def test_time_never_runs_backwards() -> None:
    told = await run(small(), base(scores={"is 9": "2"}))
    times = [event.at for event in told.events]
    assert times == sorted(times)
    assert told.of(StepDrafted)[0].index == 0
