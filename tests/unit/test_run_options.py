"""Options of one run: where the answer is cut, how much in all, how long to wait for a model that is away."""

import time
from collections.abc import Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason import (
    AnswerDelta,
    CallEnded,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    Event,
    Failed,
    Fallback,
    Interrupted,
    ReasoningSettings,
    Result,
    RunOptions,
    Settings,
    SpecReason,
    StepKept,
    fold,
)
from specreason.engines.protocol import Segment
from specreason.engines.scripted import ScriptedEngine
from specreason.reasoning.options import AnswerCut

SMALL = ("Two and two is 4.\n\n", "Twice that is 9.\n\n", "That is all.\n</think>")
BASE = ("Base adds to 4.\n\n", "Twice that is 8.\n\n", "Base is done.\n</think>")
ANSWER = "It is \\boxed{8}, as was shown."
GONE = EngineUnavailable("gone", engine="base")


def base(**script: Any) -> ScriptedEngine:
    return ScriptedEngine("base", steps=BASE, answer=ANSWER, scores={"is 9": "2"}, **script)


def small(**script: Any) -> ScriptedEngine:
    return ScriptedEngine("small", steps=SMALL, **script)


async def told(
    options: RunOptions,
    of: ScriptedEngine | None = None,
    and_of: ScriptedEngine | None = None,
    **settings: Any,
) -> list[Event]:
    """The events of a run, also of one that fails."""
    events: list[Event] = []
    async with SpecReason(Settings(), engines={"base": of or base(), "small": and_of or small()}) as session:
        stream = session.stream("What?", reasoning=ReasoningSettings(**settings), options=options)
        try:
            async with aclosing(stream):
                async for event in stream:
                    events.append(event)
        except EngineError:
            assert isinstance(events[-1], Failed)
    return events


def kept(events: Sequence[Event]) -> str:
    return "".join(event.step.text for event in events if isinstance(event, StepKept))


def answer(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, AnswerDelta))


# ---------------------------------------------------------------- stop texts


@given(
    text=st.text("ab ", max_size=30),
    stops=st.lists(st.text("ab ", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(0, 30), max_size=8),
)
def test_a_text_is_cut_at_the_first_stop_however_it_comes_in(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    cut = AnswerCut(tuple(stops))
    edges = [0, *sorted(min(at, len(text)) for at in cuts), len(text)]
    out = ""
    for start, end in pairwise(edges):
        if cut.reached:
            break
        out += cut.take(text[start:end])
    out += cut.rest()
    found = [text.find(stop) for stop in stops if stop in text]
    # Of two stops the one that is complete first counts.
    assert out in {text[:at] for at in found} | ({text} if not found else set())
    assert cut.reached == bool(found)


async def test_an_answer_ends_at_a_stop_text_and_so_does_the_call() -> None:
    events = await told(RunOptions(stop=("boxed", ", as")))
    assert answer(events) == "It is \\"
    call = [event for event in events if isinstance(event, CallEnded)][-1]
    assert (call.phase, call.finish) == ("answer", "cancelled")


@pytest.mark.parametrize(
    ("stop", "left", "calls"),
    [
        ("nothing of it", "Final answer: \\boxed{8}.", 1),
        ("{9", "Final answer: \\boxed{8}.", 1),
        ("boxed{8", "Final answer: \\", 1),
        (" answer", "Final", 0),
        ("Final", "", 0),
    ],
)
async def test_the_opener_that_we_write_ends_at_a_stop_text_too(stop: str, left: str, calls: int) -> None:
    steps = ("Two and two is 4.\n\n", "8}. And so on.\n\n")
    writer = ScriptedEngine("base", steps=steps, thinking=False)
    events = await told(RunOptions(stop=(stop,)), writer, scheme="base", token_budget=6)
    assert answer(events) == left
    assert [event.phase for event in events if isinstance(event, CallEnded)].count("answer") == calls


async def test_an_opener_half_told_is_gone_on_with_whole() -> None:
    steps = ("Two and two is 4.\n\n", "8}. And so on.\n\n")
    writer = ScriptedEngine("base", steps=steps, thinking=False, failures={1: GONE})
    options = RunOptions(stop=("{9",), resume_within=5)
    events = await told(options, writer, scheme="base", token_budget=6)
    assert [event for event in events if isinstance(event, Interrupted)]
    assert answer(events) == "Final answer: \\boxed{8}."
    assert writer.calls[-1].prompt.text.endswith("\\boxed{")


# ---------------------------------------------------------------- tokens in all


@pytest.mark.parametrize("total", [1, 2, 3, 5, 8, 13, 21, 100])
async def test_thinking_and_answer_together_stay_below_the_total(total: int) -> None:
    result: Result = fold(await told(RunOptions(max_tokens=total)))
    assert sum(step.tokens for step in result.steps) <= total - total // 4
    assert sum(tokens.kept for tokens in result.tokens.values()) <= total
    assert result.finished


# ---------------------------------------------------------------- a base model that comes back


@pytest.mark.parametrize("call", range(6))
@pytest.mark.parametrize("error", [GONE, EngineTimeout("silent", engine="base")])
async def test_the_run_goes_on_from_the_last_kept_step(call: int, error: EngineError) -> None:
    undisturbed = await told(RunOptions())
    events = await told(RunOptions(resume_within=5), base(failures={call: error}, fails_after=1))
    assert kept(events) == kept(undisturbed)
    assert answer(events) == answer(undisturbed)
    # A connection that breaks in the middle of a step is opened once more without a word.
    interruptions = [event for event in events if isinstance(event, Interrupted)]
    quiet = call == 5 or (call == 2 and error is GONE)  # two scores, a rewrite, a score, the answer; no sixth
    assert len(interruptions) == (0 if quiet else 1)
    assert fold(events).finished


async def test_patience_has_an_end() -> None:
    always = dict.fromkeys(range(100), GONE)
    began = time.perf_counter()
    events = await told(RunOptions(resume_within=0.4), base(failures=always))
    assert 0.4 <= time.perf_counter() - began < 5
    assert [event.event for event in events].count("interrupted") == 1


async def test_a_base_model_that_was_at_work_in_between_is_waited_for_anew() -> None:
    # Four failures with words in between, none of which finishes a step: more than one wait would last.
    events = await told(
        RunOptions(resume_within=0.15),
        base(failures=dict.fromkeys(range(8), GONE), fails_after=2),
        scheme="base",
    )
    assert kept(events) == "".join(BASE).removesuffix("</think>")
    assert fold(events).finished
    assert [event.event for event in events].count("interrupted") == 4


async def test_work_that_breaks_the_base_model_each_time_is_given_up() -> None:
    engine = base(failures=dict.fromkeys(range(1000), GONE), fails_after=2)
    events = await told(RunOptions(resume_within=30), engine, scheme="base")
    assert isinstance(events[-1], Failed)
    assert [event.event for event in events].count("interrupted") == 10


class Opening(ScriptedEngine):
    """Cannot read the problem the first few times."""

    away = 0

    async def tokenize(self, text: str, *, control: bool = False) -> Segment:
        if self.away:
            self.away -= 1
            raise EngineUnavailable("nothing answers", engine=self.name)
        return await ScriptedEngine.tokenize(self, text, control=control)


@pytest.mark.parametrize("away", [1, 4])
async def test_a_base_model_that_is_away_when_a_run_begins_is_waited_for(away: int) -> None:
    engine = Opening("base", steps=BASE, answer=ANSWER, scores={"is 9": "2"})
    engine.away = away
    events = await told(RunOptions(resume_within=5), engine)
    assert [event.event for event in events][:2] == ["interrupted", "started"]
    assert kept(events) == kept(await told(RunOptions()))
    assert fold(events).finished


async def test_a_base_model_that_stays_away_when_a_run_begins_is_not_waited_for_longer() -> None:
    engine = Opening("base", steps=BASE)
    engine.away = 10_000
    began = time.perf_counter()
    events = await told(RunOptions(resume_within=0.3), engine)
    assert 0.3 <= time.perf_counter() - began < 5
    assert [event.event for event in events] == ["interrupted", "failed"]
    engine.away = 1
    assert [event.event for event in await told(RunOptions(), engine)] == ["failed"]


async def test_without_patience_the_first_failure_ends_the_run() -> None:
    events = await told(RunOptions(), base(failures={0: GONE}))
    assert not [event for event in events if isinstance(event, Interrupted)]
    assert isinstance(events[-1], Failed)


# ---------------------------------------------------------------- a drafter that is not there


class Absent(ScriptedEngine):
    """Cannot even read the problem."""

    async def tokenize(self, text: str, *, control: bool = False) -> Segment:
        raise EngineUnavailable("nothing answers", engine=self.name)


async def test_a_drafter_that_is_down_from_the_start_is_done_without() -> None:
    events = await told(RunOptions(), None, Absent("small", steps=SMALL))
    result = fold(events)
    assert kept(events) == "".join(BASE).removesuffix("</think>")
    assert [event.event for event in events][:2] == ["started", "fallback"]
    assert result.scheme == "specreason"
    assert result.degraded is not None
    assert [event for event in events if isinstance(event, Fallback)]
