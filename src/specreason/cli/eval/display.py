"""How a study goes, as a table on the terminal, or as a line now and then where there is none."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from specreason.eval.cells import short_names
from specreason.eval.plan import Plan
from specreason.eval.rows import Row

_LINE_EVERY_S = 30.0


@dataclass(slots=True)
class _Progress:
    """One cell so far. `seconds` over all its runs."""

    name: str
    done: int = 0
    right: int = 0
    errors: int = 0
    seconds: float = 0.0


class StudyDisplay:
    """Counts rows; a context manager while the study goes on."""

    def __init__(self, console: Console, plan: Plan, before: Iterable[Row]) -> None:
        self._console = console
        self._plan = plan
        self._each = len(plan.task.problems) * plan.samples
        names = short_names(plan.cells)
        self._cells = {label: _Progress(name) for label, name in names.items()}
        self._at_once = {cell.label: cell.concurrency for cell in plan.cells}
        for row in before:
            self._count(row)
        self._found = sum(cell.done for cell in self._cells.values())
        self._started = self._shown = time.monotonic()
        self._live = Live(console=console, get_renderable=self._table, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        if self._found:
            self._console.print(f"{self._found} runs are there already; going on")
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.refresh()
            self._live.stop()
        else:
            self._console.print(self._table())

    def show(self, row: Row) -> None:
        """Count one more run."""
        self._count(row)
        now = time.monotonic()
        if self._console.is_terminal and now - self._shown > 0.25:
            self._shown = now
            self._live.refresh()
        elif not self._console.is_terminal and now - self._shown > _LINE_EVERY_S:
            self._shown = now
            self._console.print(self._line(), soft_wrap=True)

    def _count(self, row: Row) -> None:
        cell = self._cells.get(row.cell)
        asked = row.position < len(self._plan.task.problems) and row.sample < self._plan.samples
        if cell is None or not asked:
            return  # of an earlier command
        cell.done += 1
        cell.right += row.right
        cell.errors += row.error is not None
        cell.seconds += row.seconds

    def _table(self) -> Table:
        table = Table(caption=self._line(), box=None, pad_edge=False)
        table.add_column("cell")
        for head in ("done", "accuracy", "s a problem", "left", "errors"):
            table.add_column(head, justify="right")
        for label, cell in self._cells.items():
            each = cell.seconds / cell.done if cell.done else None
            left = None if each is None else each * (self._each - cell.done) / self._at_once[label]
            table.add_row(
                cell.name,
                f"{cell.done}/{self._each}",
                f"{cell.right / cell.done:.1%}" if cell.done else "-",
                "-" if each is None else f"{each:.2f}",
                "-" if left is None else _clock(left),
                str(cell.errors) if cell.errors else "-",
            )
        return table

    def _line(self) -> str:
        done = sum(cell.done for cell in self._cells.values())
        total = self._each * len(self._cells)
        made = done - self._found
        spent = time.monotonic() - self._started
        eta = _clock(spent / made * (total - done)) if made else "unknown" if done < total else "nothing"
        return f"{done} of {total} runs, {_clock(spent)} so far, {eta} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
