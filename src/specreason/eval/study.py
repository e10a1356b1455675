"""A study read back from its store: rows by cell, and what each figure needs of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specreason.eval.cells import SCHEME, Cell, flat, matters, short_names
from specreason.eval.rows import Row
from specreason.eval.statistics import Floats, per_problem
from specreason.eval.store import Store
from specreason.eval.tasks import Problem

_EMULATED = "emulation/"  # how the emulated servers' model names begin (`specreason emulate`)


@dataclass(frozen=True, slots=True)
class CellRuns:
    """The runs of one cell. `name` says only what sets it apart from the study's other cells.

    `settings`: all of its runs, by dotted key.
    """

    cell: Cell
    name: str
    rows: Sequence[Row]
    settings: Mapping[str, Any]

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
    """All that a report shows. `task`: name, source, fingerprint; `sessions`: see `facts`.

    `settings`: those that all cells have in common, by dotted key.
    """

    path: str
    task: Mapping[str, Any]
    problems: Sequence[Problem]
    cells: Sequence[CellRuns]
    sessions: Sequence[Mapping[str, Any]]
    readings: Mapping[str, Sequence[float]]
    models: Mapping[str, str]
    seed: int
    settings: Mapping[str, Any]

    @property
    def emulated(self) -> bool:
        """Whether no model ran: the servers were those of `specreason emulate`."""
        return any(model.startswith(_EMULATED) for model in self.models.values())

    def reference(self, of: Cell, scheme: str) -> CellRuns | None:
        """The cell of `scheme` that `of` is fairly compared with: as many at once, and the same settings.

        Of settings only those count that matter under both schemes.
        """

        def alike(cell: Cell) -> bool:
            keys = {key for key, _ in (*cell.overrides, *of.overrides) if key != SCHEME}
            shared = [key for key in keys if matters(key, scheme) and matters(key, of.scheme)]
            return cell.concurrency == of.concurrency and all(
                cell.value(key) == of.value(key) for key in shared
            )

        found = (runs for runs in self.cells if runs.cell.scheme == scheme and runs.cell != of)
        return next((runs for runs in found if alike(runs.cell)), None)


def read_study(store: Store) -> StudyData:
    """Everything but the events."""
    cells = store.cells()
    names = short_names(cells)
    common: dict[str, Any] = store.fact("settings") or {}
    varied = {key for cell in cells for key, _ in cell.overrides}
    rows: dict[str, list[Row]] = {cell.label: [] for cell in cells}
    for row in store.rows():
        rows[row.cell].append(row)
    return StudyData(
        path=str(store.path),
        task=store.fact("task"),
        problems=store.problems(),
        cells=[
            CellRuns(cell, names[cell.label], found, flat(json.loads(store.settings(cell))))
            for cell in cells
            if (found := rows[cell.label])
        ],
        sessions=store.sessions(),
        readings=store.readings(),
        models=store.fact("models"),
        seed=store.fact("seed"),
        settings={key: value for key, value in common.items() if key not in varied},
    )


def paired(a: Mapping[int, Sequence[float]], b: Mapping[int, Sequence[float]]) -> tuple[Floats, Floats]:
    """Both by problem, over the problems that both have, in the same order."""
    both = a.keys() & b.keys()
    return per_problem({n: a[n] for n in both}), per_problem({n: b[n] for n in both})


def _by_problem(
    rows: Sequence[Row], value: Callable[[Row], float], among: set[int] | None
) -> Mapping[int, list[float]]:
    found: dict[int, list[float]] = {}
    for row in rows:
        if among is None or row.position in among:
            found.setdefault(row.position, []).append(value(row))
    return found
