"""What overlaps changes how long a run takes, never what it says."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specreason.config import ReasoningSettings, SamplingSettings, Settings
from specreason.emulate.skipping import run_skipping
from specreason.engines.scripted import ScriptedEngine
from specreason.errors import EngineError, EngineUnavailable
from specreason.reasoning.events import (
    CallEnded,
    Event,
    SignalMeasured,
    StepDrafted,
    StepKept,
    StepRejected,
)
from specreason.reasoning.result import fold
from specreason.session import SpecReason

ANSWER = "It is \\boxed{8}."


@dataclass(frozen=True)
class Story:
    """Which drafts stand, where the drafter or the judge fails, how the drafts end."""

    stands: tuple[bool, ...]
    boxed_at: int | None = None
    drafter_fails_at: int | None = None
    base_fails_at: int | None = None
    budget: int = 1000

    def engines(self, delay: float = 0.0) -> dict[Any, ScriptedEngine]:
        box = " is \\boxed{3}"
        drafts = [f"Draft {n}{box if n == self.boxed_at else ''}.\n\n" for n in range(len(self.stands))]
        own = [f"Base {n}.\n\n" for n in range(len(self.stands))]
        drafts[-1] = drafts[-1].replace("\n\n", "\n</think>")
        own[-1] = own[-1].replace("\n\n", "\n</think>")
        failing = {self.drafter_fails_at: EngineError("gone", engine="small")}
        base_failing = {self.base_fails_at: EngineError("base gone", engine="base")}
        scores = {f"Draft {n}": "9" if stands else "1" for n, stands in enumerate(self.stands)}
        return {
            "small": ScriptedEngine(
                "small",
                steps=drafts,
                answer=ANSWER,
                delay_s=delay,
                fails_at={} if self.drafter_fails_at is None else failing,  # pyright: ignore[reportArgumentType]
            ),
            "base": ScriptedEngine(
                "base",
                steps=own,
                answer=ANSWER,
                scores=scores,
                delay_s=delay,
                fails_at={} if self.base_fails_at is None else base_failing,  # pyright: ignore[reportArgumentType]
            ),
        }


stories = st.builds(
    Story,
    stands=st.lists(st.booleans(), min_size=1, max_size=8).map(tuple),
    boxed_at=st.none() | st.integers(0, 7),
    drafter_fails_at=st.none() | st.integers(0, 7),
    base_fails_at=st.none() | st.integers(0, 7),
    budget=st.integers(3, 40),
)


async def told(story: Story, delay: float = 0.0, **reasoning: Any) -> list[Event]:
    """The events of a run, up to the one that tells of a failure."""
    events: list[Event] = []
    method = ReasoningSettings(token_budget=story.budget, **reasoning)
    engine = SpecReason(
        Settings(reasoning=method, sampling=SamplingSettings(temperature=0)), engines=story.engines(delay)
    )
    async with engine:
        try:
            async for event in engine.stream("What is 3 + 5?"):
                events.append(event)
        except EngineError:
            pass
    return events


def repair(hedge: bool) -> str:
    return "hedge" if hedge else "rewrite"


def timeless(events: list[Event]) -> list[Event]:
    """The events without what may differ: the clock, and how calls are cut."""
    bare: list[Event] = []
    for event in events:
        if isinstance(event, CallEnded):
            continue
        timings: dict[str, Any] = {"at": 0.0} | ({"seconds": 0.0} if hasattr(event, "seconds") else {})
        if isinstance(event, StepKept):
            timings["step"] = replace(event.step, seconds={})
        if event.event == "started":
            timings["settings"] = {}
        bare.append(replace(event, **timings))
    return bare


@given(story=stories, depth=st.integers(1, 5), hedge=st.booleans())
@settings(max_examples=150, deadline=None)
def test_looking_ahead_and_hedging_tell_the_same_story(story: Story, depth: int, hedge: bool) -> None:
    one_by_one = asyncio.run(told(story))
    ahead = asyncio.run(told(story, lookahead=depth, on_reject=repair(hedge)))
    assert timeless(ahead) == timeless(one_by_one)


async def left_after_a_step(engine: SpecReason) -> None:
    stream: AsyncGenerator[Event, None] = engine.stream("What is 3 + 5?")
    async for event in stream:
        if isinstance(event, StepKept):
            break
    await stream.aclose()


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("hedge", [False, True])
async def test_nothing_runs_on_when_a_run_is_left(depth: int, hedge: bool) -> None:
    story = Story((True,) * 6)
    engines = story.engines(delay=0.001)
    method = ReasoningSettings(lookahead=depth, on_reject=repair(hedge))
    async with SpecReason(Settings(reasoning=method), engines=engines) as engine:
        await left_after_a_step(engine)
        written = {role: sum(call.generated for call in e.calls) for role, e in engines.items()}
        await asyncio.sleep(0.05)
        assert written == {role: sum(call.generated for call in e.calls) for role, e in engines.items()}
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others


async def test_the_drafter_runs_ahead_as_far_as_it_may_and_no_further() -> None:
    engines = Story((True,) * 8).engines()
    engines["base"].delay_s = 0.05
    method = ReasoningSettings(lookahead=2)
    async with SpecReason(Settings(reasoning=method), engines=engines) as engine:
        stream = engine.stream("What is 3 + 5?")
        async for event in stream:
            if isinstance(event, StepDrafted):
                break
        await asyncio.sleep(0.02)  # the first verdict is still out
        judged = [call.prompt.text.count("Draft") for call in engines["base"].calls]
        assert judged == [1, 2, 3]
        await stream.aclose()


async def test_a_rejection_stops_what_stands_on_it() -> None:
    events = await told(Story((False, True, True, True)), lookahead=3)
    rejected = next(n for n, event in enumerate(events) if isinstance(event, StepRejected))
    assert not any(isinstance(event, SignalMeasured) and event.index > 0 for event in events[:rejected])
    assert fold(events).steps[0].text == "Base 0.\n\n"


def test_a_hedge_saves_the_wait_for_the_rewrite() -> None:
    story = Story((False,) * 4)
    waits: dict[bool, float] = {}
    for hedge in (False, True):
        events = run_skipping(told(story, delay=0.01, on_reject=repair(hedge)))
        waits[hedge] = events[-1].at
    assert waits[True] < 0.8 * waits[False]


# ---------------------------------------------------------------- several drafts of a step


def several(scores: dict[str, str], *variants: str) -> dict[Any, ScriptedEngine]:
    end = "\n</think>"
    return {
        "small": ScriptedEngine(
            "small", steps=[f"Alpha.{end}"], variants=[[f"{v}.{end}"] for v in variants], answer=ANSWER
        ),
        "base": ScriptedEngine("base", steps=[f"Base.{end}"], answer=ANSWER, scores=scores),
    }


async def run_several(engines: dict[Any, ScriptedEngine], **reasoning: Any) -> list[Event]:
    method = ReasoningSettings(drafts_per_step=3, **reasoning)
    async with SpecReason(Settings(reasoning=method), engines=engines) as engine:
        return [event async for event in engine.stream("What is 3 + 5?")]


@pytest.mark.parametrize("depth", [0, 2])
async def test_of_several_drafts_the_best_is_kept(depth: int) -> None:
    engines = several({"Alpha": "7", "Beta": "9", "Gamma": "8"}, "Beta", "Gamma")
    events = await run_several(engines, lookahead=depth)
    kept = [event.step for event in events if isinstance(event, StepKept)]
    assert [(step.text, step.which, step.author) for step in kept] == [("Beta.\n", 1, "small")]
    assert [e.value for e in events if isinstance(e, SignalMeasured)] == [7, 9, 8]
    result = fold(events)
    assert (result.drafts, result.accepted) == (1, 1)
    assert result.tokens["small"].discarded == kept[0].discarded == 2 * kept[0].tokens


async def test_the_small_model_alone_writes_each_step_once() -> None:
    result = fold(await run_several(several({}, "Beta", "Gamma"), scheme="small"))
    assert result.tokens["small"].discarded == 0


async def test_if_no_draft_stands_the_base_model_writes() -> None:
    events = await run_several(several({"Alpha": "1", "Beta": "2", "Gamma": "3"}, "Beta", "Gamma"))
    result = fold(events)
    assert [step.text for step in result.steps] == ["Base.\n"]
    assert (result.drafts, result.accepted, result.steps[0].score) == (1, 0, 1)
    rejected = next(event for event in events if isinstance(event, StepRejected))
    assert rejected.tokens == sum(e.tokens for e in events if isinstance(e, StepDrafted))


async def test_drafts_that_come_out_alike_are_judged_once() -> None:
    events = await run_several(several({"Alpha": "9"}, "Alpha", "Alpha"))
    assert len([event for event in events if isinstance(event, SignalMeasured)]) == 1
    assert fold(events).tokens["small"].discarded > 0


def test_drafts_are_written_side_by_side() -> None:
    engines = several({}, "Beta", "Gamma")
    engines["small"].delay_s = 0.02
    events = run_skipping(run_several(engines))
    drafted = [event for event in events if isinstance(event, StepDrafted)]
    one = (drafted[0].tokens + 1) * 0.02  # with the token that closes the block
    assert drafted[-1].at < 2 * one


async def test_if_one_of_several_writers_fails_the_drafter_is_lost() -> None:
    engines = several({}, "Beta", "Gamma")
    engines["small"].failures = {1: EngineUnavailable("gone", engine="small")}
    result = fold(await run_several(engines))
    assert result.degraded is not None
    assert [step.author for step in result.steps] == ["base"]


# ---------------------------------------------------------------- several drafts, each run ahead of


def manifold(steps: int, scores: dict[str, str], delay: float = 0.0) -> dict[Any, ScriptedEngine]:
    """Three drafts of each step; the chain ends with the last step."""

    def lines(name: str) -> list[str]:
        return [f"{name} {n}.{chr(10) * 2 if n + 1 < steps else f'{chr(10)}</think>'}" for n in range(steps)]

    # Rows of three pens: whichever row writes, its pens draft Alpha, Beta and Gamma.
    rows = [lines(name) for _ in range(3) for name in ("Alpha", "Beta", "Gamma")]
    return {
        "small": ScriptedEngine("small", steps=rows[0], variants=rows[1:], answer=ANSWER, delay_s=delay),
        "base": ScriptedEngine("base", steps=lines("Base"), answer=ANSWER, scores=scores, delay_s=delay),
    }


score_tables = st.fixed_dictionaries(
    {f"{name} {n}": st.sampled_from("1279") for name in ("Alpha", "Beta", "Gamma") for n in range(4)}
)


@given(scores=score_tables, depth=st.integers(1, 3), hedge=st.booleans(), delay=st.sampled_from([0.0, 0.01]))
@settings(max_examples=60, deadline=None)
def test_running_ahead_of_each_draft_tells_the_same_story(
    scores: dict[str, str], depth: int, hedge: bool, delay: float
) -> None:
    one_by_one = run_skipping(run_several(manifold(4, scores)))
    ahead = run_skipping(run_several(manifold(4, scores, delay), lookahead=depth, on_reject=repair(hedge)))
    assert timeless(ahead) == timeless(one_by_one)


def test_a_step_after_any_of_the_drafts_is_not_drafted_anew() -> None:
    """Beta is kept, Alpha is the favourite: the small model has to be where Beta leads already."""
    scores = {f"{name} {n}": score for n in range(6) for name, score in (("Alpha", "7"), ("Beta", "9"))}
    waits: dict[int, float] = {}
    for depth in (0, 1):
        engines = manifold(6, scores, delay=0.02)
        events = run_skipping(run_several(engines, lookahead=depth))
        assert {event.step.which for event in events if isinstance(event, StepKept)} == {1}
        waits[depth] = events[-1].at
    a_score = 0.02
    assert waits[1] < waits[0] - 4 * a_score


async def test_no_lane_writes_on_when_a_run_with_branches_is_left() -> None:
    engines = manifold(6, {}, delay=0.001)
    method = ReasoningSettings(drafts_per_step=3, lookahead=2)
    async with SpecReason(Settings(reasoning=method), engines=engines) as engine:
        await left_after_a_step(engine)
        written = sum(call.generated for call in engines["small"].calls)
        await asyncio.sleep(0.05)
        assert written == sum(call.generated for call in engines["small"].calls)
    assert not asyncio.all_tasks() - {asyncio.current_task()}
