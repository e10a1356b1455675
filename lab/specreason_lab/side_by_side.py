"""The pocket pair on problems whose every step can be checked: schemes side by side, interleaved."""

import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from specreason import ReasoningSettings, Result, SamplingSettings, Settings, SpecReason
from specreason.reasoning.events import StepAccepted, StepDrafted, StepScored
from specreason.reasoning.result import Tally
from specreason_lab.problems import THINK_CLOSE, Problem, stated_answer

_ONE_TOKEN = ReasoningSettings(token_budget=1, answer_tokens=1, max_step_tokens=1)


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

    All share one pair of engines; `forget` keeps one scheme's chain from the next.
    """
    labels = list(schemes)
    async with SpecReason(settings) as pair:
        for number, problem in enumerate(sample):
            # Another seed for each problem: with one for all, an unlikely first draw would hit every problem.
            sampling = SamplingSettings(temperature=temperature, seed=number)
            turn = number % len(labels)
            for label in labels[turn:] + labels[:turn]:
                await forget(pair, problem.text)
                yield await solved(pair, problem, schemes[label], sampling, number=number, label=label)


async def forget(pair: SpecReason, text: str) -> None:
    """Let each model read the problem `text` alone: all that its caches keep of a chain after it is dropped.

    Else a scheme would find the chain that the one before it wrote, and need not read what it judges.
    """
    rooms = {"small": pair.settings.small.parallel}
    for seat in pair.seated:  # each is named like the scheme in which it works alone
        for _ in range(rooms.get(seat, pair.settings.base.parallel)):
            await pair.solve(text, reasoning=_ONE_TOKEN.model_copy(update={"scheme": seat}))
