"""The pocket pair on problems whose every step can be checked: schemes side by side, interleaved."""

import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from specreason import ReasoningSettings, Result, SamplingSettings, SpecReason
from specreason.reasoning.events import StepAccepted, StepDrafted, StepScored
from specreason.reasoning.result import Tally
from specreason_lab.problems import THINK_CLOSE, Problem, stated_answer


@dataclass(frozen=True, slots=True)
class Judged:
    """A draft's score (None: not scorable) and whether the step is right."""

    score: float | None
    right: bool


@dataclass(frozen=True, slots=True)
class Solved:
    """One problem under one scheme. `label` names the scheme, and the threshold where there are several."""

    problem: int
    label: str
    right: bool
    seconds: float
    result: Result
    judged: tuple[Judged, ...]


async def solved(
    pair: SpecReason,
    problem: Problem,
    reasoning: ReasoningSettings,
    sampling: SamplingSettings,
    *,
    number: int = 0,
    label: str = "",
) -> Solved:
    """Solve one problem and check its answer and its drafts."""
    tally, judged, chain = Tally(), list[Judged](), list[str]()
    draft = ""
    started = time.perf_counter()
    async with aclosing(pair.stream(problem.text, reasoning=reasoning, sampling=sampling)) as events:
        async for event in events:
            tally.take(event)
            match event:
                case StepDrafted():
                    draft = event.text + (THINK_CLOSE if event.end == "think_close" else "")
                case StepScored():
                    judged.append(Judged(event.value, problem.right(chain, draft)))
                case StepAccepted():
                    chain.append(event.text)
                case _:
                    pass
    seconds = time.perf_counter() - started
    result = tally.result()
    right = stated_answer(result.answer_text) == problem.answer
    return Solved(number, label or reasoning.scheme, right, seconds, result, tuple(judged))


async def side_by_side(
    pair: SpecReason,
    sample: Iterable[Problem],
    schemes: Sequence[tuple[str, ReasoningSettings]],
    sampling: SamplingSettings,
) -> AsyncGenerator[Solved, None]:
    """Every problem under every scheme, in an order that turns from problem to problem."""
    for number, problem in enumerate(sample):
        for k in range(len(schemes)):
            label, reasoning = schemes[(number + k) % len(schemes)]
            yield await solved(pair, problem, reasoning, sampling, number=number, label=label)
