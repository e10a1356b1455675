"""The pocket pair at work: a live table of the schemes side by side, then one chain in colour."""

import os
import time
from contextlib import aclosing
from itertools import islice
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from specreason import ReasoningSettings, SamplingSettings, Settings, SpecReason
from specreason.cli.display import StepDisplay
from specreason.models.catalogue import POCKET_PAIR
from specreason_lab import figures
from specreason_lab.problems import Problem, problems
from specreason_lab.side_by_side import Solved, side_by_side

SEED = 3  # not the benchmarks' problems
SCHEMES: dict[str, dict[str, Any]] = {
    "base": {"scheme": "base"},
    "small": {"scheme": "small"},
    "specreason": {},
    "specreason, salvage": {"salvage": True},
}


async def demo(count: int, console: Console) -> None:
    """Solve `count` held-out problems under each of `SCHEMES` in turn, and show one of them whole."""
    sample = list(islice(problems(SEED, "test"), count))
    sampling = SamplingSettings(seed=0)
    console.print(f"{count} problems that neither model has met, under each scheme in turn. One of them:\n")
    console.print(sample[0].text, style="dim", markup=False)
    began = time.perf_counter()
    settings = Settings(pair=POCKET_PAIR)
    schemes = {name: ReasoningSettings.model_validate(knobs) for name, knobs in SCHEMES.items()}
    rows: list[Solved] = []
    with Live(table(rows), console=console, refresh_per_second=4) as live:
        async with aclosing(side_by_side(sample, schemes, settings, sampling.temperature)) as runs:
            async for row in runs:
                rows.append(row)
                live.update(table(rows))
    async with SpecReason(settings) as pair:
        took, threshold = time.perf_counter() - began, pair.settings.reasoning.threshold
        console.print(
            f"{took:.0f} s on {os.cpu_count()} cores. A draft that is scored {threshold:g} or more stands."
        )
        console.print("Here is how one chain comes about:")
        number = _telling(rows)
        await shown(pair, sample[number], sampling.model_copy(update={"seed": number}), console)


async def shown(pair: SpecReason, problem: Problem, sampling: SamplingSettings, console: Console) -> None:
    """One problem, step by step."""
    console.print(f"\n{problem.text}\n", style="bold", markup=False, highlight=False)
    display = StepDisplay(console, pair.settings.reasoning)
    async with aclosing(pair.stream(problem.text, sampling=sampling)) as events:
        async for event in events:
            display.show(event)
    console.print(f"\nright answer: {problem.answer}", style="bold green")


def _telling(rows: list[Solved]) -> int:
    """The number of a problem that specreason solves with a draft rejected on the way, or of the first."""
    for row in rows:
        if row.label == "specreason" and row.right and row.result.accepted < row.result.drafts:
            return row.problem
    return 0


def table(rows: list[Solved]) -> Table:
    """What is known so far. Speed-up: over base on the problems that both have done."""
    made = Table("scheme", "done", "right", "seconds", "speed-up", "accepted", title_justify="left")
    by = {name: {row.problem: row for row in rows if row.label == name} for name in SCHEMES}
    for name, mine in by.items():
        if not mine:
            made.add_row(name, "0", "", "", "", "")
            continue
        both = sorted(mine.keys() & by["base"].keys())
        faster = figures.speedup([by["base"][n] for n in both], [mine[n] for n in both]) if both else None
        accepted = figures.acceptance(list(mine.values()))
        made.add_row(
            name,
            str(len(mine)),
            f"{figures.accuracy(list(mine.values())):.0%}",
            f"{sum(row.seconds for row in mine.values()):.1f}",
            "" if faster is None else f"{faster:.2f}",
            "" if name in {"base", "small"} or accepted is None else f"{accepted:.0%}",
        )
    return made
