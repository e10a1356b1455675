"""The pocket pair on problems whose every step can be checked: schemes side by side, interleaved."""

import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from specreason import ReasoningSettings, Result, SamplingSettings, Settings, SpecReason
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
    sample: Iterable[Problem],
    schemes: Mapping[str, ReasoningSettings],
    settings: Settings,
    temperature: float,
) -> AsyncGenerator[Solved, None]:
    """Every problem under every scheme, in an order that turns from problem to problem.

    Each scheme has engines of its own, all set alike: on shared ones it would find in the cache the chain
    that the scheme before it wrote for the same problem, and need not read what it judges.
    """
    labels = list(schemes)
    async with AsyncExitStack() as stack:
        pairs = {label: await stack.enter_async_context(SpecReason(settings)) for label in labels}
        for number, problem in enumerate(sample):
            # Another seed for each problem: with one for all, an unlikely first draw would hit every problem.
            sampling = SamplingSettings(temperature=temperature, seed=number)
            turn = number % len(labels)
            for label in labels[turn:] + labels[:turn]:
                yield await solved(
                    pairs[label], problem, schemes[label], sampling, number=number, label=label
                )
