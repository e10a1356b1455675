"""The pair at work: held-out problems by three schemes side by side, then one chain in colour."""

import statistics
from collections.abc import Sequence
from contextlib import aclosing, nullcontext
from itertools import islice

from rich.console import Console
from rich.live import Live
from rich.table import Table

from specreason import ReasoningSettings, SamplingSettings, Settings, SpecReason
from specreason.cli.display import StepDisplay
from specreason.reasoning.result import Tally
from specreason_lab import figures
from specreason_lab.problems import Problem, problems
from specreason_lab.side_by_side import Solved, side_by_side

SCHEMES = ("base", "small", "specreason")
SEED = 2  # of the held-out problems that are shown


async def demonstrate(pair: str, count: int, console: Console) -> list[Solved]:
    """Solve `count` held-out problems by each scheme while a table grows; all runs."""
    settings = Settings(pair=pair)
    schemes = [(scheme, ReasoningSettings.model_validate({"scheme": scheme})) for scheme in SCHEMES]
    sample = list(islice(problems(SEED, "test"), count))
    rows: list[Solved] = []
    async with SpecReason(settings) as engine:
        live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        with live or nullcontext():
            async with aclosing(side_by_side(engine, sample, schemes, SamplingSettings())) as runs:
                async for run in runs:
                    rows.append(run)
                    if live is not None:
                        live.update(table(rows))
        if live is None:
            console.print(table(rows))
        await _one_chain(engine, sample[0], console)
    return rows


def table(rows: Sequence[Solved]) -> Table:
    """Accuracy, seconds, speed-up and acceptance of each scheme so far."""
    shown = Table("scheme", "solved", "accuracy", "median s", "speed-up", "drafts accepted")
    by = {scheme: [row for row in rows if row.label == scheme] for scheme in SCHEMES}
    common = min(map(len, by.values()))  # speed-ups compare the same problems
    for scheme, mine in by.items():
        if not mine:
            continue
        accepted = figures.acceptance(mine) if scheme == "specreason" else None
        shown.add_row(
            scheme,
            str(len(mine)),
            f"{figures.accuracy(mine):.0%}",
            f"{statistics.median(row.seconds for row in mine):.2f}",
            f"{figures.speedup(by['base'][:common], mine[:common]):.2f}x" if common else "",
            "" if accepted is None else f"{accepted:.0%}",
        )
    return shown


async def _one_chain(engine: SpecReason, problem: Problem, console: Console) -> None:
    console.print(f"\n{problem.text}\n", markup=False)
    display, tally = StepDisplay(console, engine.settings.reasoning), Tally()
    async with aclosing(engine.stream(problem.text)) as events:
        async for event in events:
            tally.take(event)
            display.show(event)
    display.summary(tally.result())
    console.print(f"the right answer is {problem.answer}", style="dim")
