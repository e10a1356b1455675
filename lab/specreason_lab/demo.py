"""The pocket pair at work: a live table of the schemes side by side, then one chain in colour."""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from specreason import SamplingSettings, Settings, SpecReason
from specreason.cli.display import StepDisplay
from specreason.eval.cells import Cell, cell
from specreason.eval.plan import Plan
from specreason.eval.rows import Row
from specreason.eval.runner import opened_study
from specreason.eval.store import Store
from specreason.models.catalogue import POCKET_PAIR
from specreason.models.pair_settings import resolve
from specreason.reasoning.policies.specreason import knobs_in
from specreason_lab.checking import check, task
from specreason_lab.problems import Problem, problems

SEED = 3  # not the benchmarks' problems
SCHEMES: Mapping[str, Cell] = {
    "base": cell("base"),
    "small": cell("small"),
    "specreason": cell("specreason"),
    "specreason, keep_prefix": cell("specreason", on_reject="keep_prefix"),
}


async def demo(count: int, console: Console) -> None:
    """Solve `count` held-out problems under each of `SCHEMES` in turn, and show one of them whole."""
    sample = list(islice(problems(SEED, "test"), count))
    console.print(f"{count} problems that neither model has met, under each scheme in turn. One of them:\n")
    console.print(sample[0].text, style="dim", markup=False)
    started = time.perf_counter()
    settings = resolve(Settings(pair=POCKET_PAIR))
    plan = Plan(task("demo", sample), list(SCHEMES.values()), settings)
    rows: list[Row] = []
    with (
        Live(table(rows), console=console, refresh_per_second=4) as live,
        tempfile.TemporaryDirectory() as folder,
        Store(Path(folder) / "demo.sqlite", create=True) as store,
    ):
        async with opened_study(plan, store, check=check) as study, aclosing(study.rows()) as runs:
            async for row in runs:
                rows.append(row)
                live.update(table(rows))
    seconds, threshold = time.perf_counter() - started, knobs_in(settings).threshold
    console.print(
        f"{seconds:.0f} s on {os.cpu_count()} cores. Drafts that score {threshold:g} or more are accepted."
    )
    console.print("Here is how one chain comes about:")
    chosen = _instructive(rows)
    async with SpecReason(settings) as pair:
        await shown(pair, sample[chosen.position], SamplingSettings(seed=chosen.seed), console)


async def shown(pair: SpecReason, problem: Problem, sampling: SamplingSettings, console: Console) -> None:
    """One problem, step by step."""
    console.print(f"\n{problem.text}\n", style="bold", markup=False, highlight=False)
    display = StepDisplay(console)
    async with aclosing(pair.stream(problem.text, sampling=sampling)) as events:
        async for event in events:
            display.show(event)
    console.print(f"\nright answer: {problem.answer}", style="bold green")


def _instructive(rows: Sequence[Row]) -> Row:
    """A run of specreason that is right with a draft rejected on the way, or the first one."""
    mine = [row for row in rows if row.cell == SCHEMES["specreason"].label]
    return next((row for row in mine if row.right and row.accepted < row.drafts), mine[0])


def table(rows: Sequence[Row]) -> Table:
    """What is known so far. Speed-up: over base on the problems that both have done."""
    made = Table("scheme", "done", "right", "seconds", "speed-up", "accepted", title_justify="left")
    by = {name: {r.position: r for r in rows if r.cell == each.label} for name, each in SCHEMES.items()}
    for name, mine in by.items():
        both = mine.keys() & by["base"].keys()
        slow, fast = (sum(runs[n].seconds for n in both) for runs in (by["base"], mine))
        drafts = sum(row.drafts for row in mine.values()) if name not in {"base", "small"} else 0
        made.add_row(
            name,
            str(len(mine)),
            f"{sum(row.right for row in mine.values()) / len(mine):.0%}" if mine else "",
            f"{sum(row.seconds for row in mine.values()):.1f}" if mine else "",
            f"{slow / fast:.2f}" if both else "",
            f"{sum(row.accepted for row in mine.values()) / drafts:.0%}" if drafts else "",
        )
    return made
