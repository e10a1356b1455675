"""A study read back from its store: rows by cell, and what each figure needs of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specreason.eval.grid import Cell, short_labels
from specreason.eval.rows import Row
from specreason.eval.statistics import Floats, per_problem
from specreason.eval.store import Store
from specreason.eval.tasks import Problem

_EMULATED = "emulation/"  # how the emulated servers' model names begin (`specreason emulate`)


@dataclass(frozen=True, slots=True)
class CellRuns:
    """The runs of one cell. `name` tells only what sets it apart from the study's other cells."""

    cell: Cell
    name: str
    rows: Sequence[Row]

    @property
    def whole(self) -> list[Row]:
        """The runs that did not break off: only these have a latency."""
        return [row for row in self.rows if row.error is None]

    def right(self, among: set[int] | None = None) -> Mapping[int, list[float]]:
        """Right (1) or not (0) by problem; a run that broke off is not right."""
        return _by_problem(self.rows, lambda row: float(row.right), among)

    def seconds(self, among: set[int] | None = None) -> Mapping[int, list[float]]:
        """Wall seconds by problem."""
        return _by_problem(self.whole, lambda row: row.seconds, among)

    @property
    def problems(self) -> set[int]:
        """Positions of the problems that have a run."""
        return {row.position for row in self.rows}


@dataclass(frozen=True, slots=True)
class StudyData:
    """All that a report tells of. `task`: name, source, fingerprint; `sessions`: see `facts`.

    `sampling`, `reasoning`: the settings that all cells have in common.
    """

    path: str
    task: Mapping[str, Any]
    problems: Sequence[Problem]
    cells: Sequence[CellRuns]
    sessions: Sequence[Mapping[str, Any]]
    readings: Mapping[str, Sequence[float]]
    models: Mapping[str, str]
    seed: int
    sampling: Mapping[str, Any]
    reasoning: Mapping[str, Any]

    @property
    def emulated(self) -> bool:
        """Whether no model ran: the servers were those of `specreason emulate`."""
        return any(model.startswith(_EMULATED) for model in self.models.values())

    def reference(self, of: Cell, scheme: str) -> CellRuns | None:
        """The cell of `scheme` that `of` is fairly compared with: same budget, as many at once."""
        for found in self.cells:
            same = (found.cell.budget, found.cell.concurrency) == (of.budget, of.concurrency)
            if found.cell.scheme == scheme and same and found.cell != of:
                return found
        return None


def read_study(store: Store) -> StudyData:
    """Everything but the events."""
    cells = store.cells()
    names = short_labels(cells)
    rows: dict[str, list[Row]] = {cell.label: [] for cell in cells}
    for row in store.rows():
        rows[row.cell].append(row)
    return StudyData(
        path=str(store.path),
        task=store.fact("task"),
        problems=store.problems(),
        cells=[CellRuns(cell, names[cell], rows[cell.label]) for cell in cells if rows[cell.label]],
        sessions=store.sessions(),
        readings=store.readings(),
        models=store.fact("models"),
        seed=store.fact("seed"),
        sampling=store.fact("sampling") or {},
        reasoning=store.fact("reasoning") or {},
    )


def paired(a: Mapping[int, Sequence[float]], b: Mapping[int, Sequence[float]]) -> tuple[Floats, Floats]:
    """Both by problem, over the problems that both have, in the same order."""
    both = a.keys() & b.keys()
    return per_problem({n: a[n] for n in both}), per_problem({n: b[n] for n in both})


def _by_problem(
    rows: Sequence[Row], value: Callable[[Row], float], among: set[int] | None
) -> Mapping[int, list[float]]:
    told: dict[int, list[float]] = {}
    for row in rows:
        if among is None or row.position in among:
            told.setdefault(row.position, []).append(value(row))
    return told
