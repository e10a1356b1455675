"""One SQLite file a study: everything that is needed to report on it, and to go on where it stopped.

Each run is one transaction, so a killed study has whole runs only; the unique key of a run makes it
impossible to have it twice. WAL mode lets a report read while the study goes on.
"""

import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

from specreason.errors import ConfigError
from specreason.eval.cells import Cell
from specreason.eval.database import damage, failure, opened
from specreason.eval.rows import Row, compact, steps_from_text, steps_to_text
from specreason.eval.tasks import Problem, Task
from specreason.eval.trace_codec import packed, unpacked
from specreason.reasoning.events import Event


@dataclass(frozen=True, slots=True)
class RunKey:
    """What may not run twice."""

    position: int
    cell: str
    sample: int


class Store:
    """An open study file. `study` has what may not change between sessions (task, models, settings)."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._db = opened(path, create=create)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error):
            raise failure(self.path, error) from error

    # ------------------------------------------------------------ what the study is

    def settle(self, facts: Mapping[str, Any], task: Task) -> None:
        """Write down what the study is, or check that it is still the same. Raises ConfigError.

        Facts that are mappings may have other keys than before; what both have must be the same. A task may
        go on where it ended before, or stop earlier: the store keeps the longer one.
        """
        grown = _longer(tuple(self.problems()), task.problems)
        now: dict[str, Any] = {**facts, "task": _identity(replace(task, problems=grown or task.problems))}
        for key, value in now.items():
            known = self.fact(key)
            if known is None:
                continue
            if key == "task" and grown:
                known = {**known, "problems": len(grown), "fingerprint": value["fingerprint"]}
            if (apart := _apart(key, known, value)) is not None:
                name, old, new = apart
                raise ConfigError(
                    f"{self.path} is a study with {name} = {compact(old):.120}, not {compact(new):.120}; "
                    "name another file with --store, or use the settings it was started with"
                )
            if isinstance(value, Mapping):  # a session may use fewer models than there are
                now[key] = {**known, **value}
        self._db.execute("begin immediate")
        with self._db:
            self._db.executemany(
                "insert or replace into study values (?, ?)", [(key, compact(now[key])) for key in now]
            )
            self._db.executemany(
                "insert or ignore into problems values (?, ?, ?, ?, ?)",
                [(n, p.id, p.text, p.answer, p.kind) for n, p in enumerate(task.problems)],
            )

    def fact(self, key: str) -> Any:
        """One of the facts given to `settle`, or `task`: its name, source and fingerprint."""
        found = self._db.execute("select value from study where key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else None

    def add_cells(self, cells: Iterable[tuple[Cell, str]]) -> None:
        """Make room for these cells, each with its settings; those that are there stay as they are."""
        for cell, settings in cells:
            self._db.execute(
                "insert or ignore into cells (label, overrides, concurrency, settings) values (?, ?, ?, ?)",
                (cell.label, compact(cell.overrides), cell.concurrency, settings),
            )
            if settings != self.settings(cell):
                raise ConfigError(
                    f"{self.path} has '{cell.label}' with other settings of the method than now; name "
                    "another file with --store, or use the settings it was started with"
                )

    def start_session(self, facts: Mapping[str, Any]) -> int:
        """Note that a process starts to work on the study; `facts`: versions, machine, engines."""
        added = self._db.execute(
            "insert into sessions (started_at, facts) values (?, ?)", (time.time(), compact(facts))
        )
        assert added.lastrowid is not None
        return added.lastrowid

    def sessions(self) -> list[dict[str, Any]]:
        """The facts of each session, oldest first, with `started_at`."""
        rows = self._db.execute("select started_at, facts from sessions order by id")
        return [json.loads(facts) | {"started_at": at} for at, facts in rows]

    def cells(self) -> list[Cell]:
        """The cells in the order in which they were added."""
        rows = self._db.execute("select overrides, concurrency from cells order by id")
        return [
            Cell(tuple(map(tuple, json.loads(overrides))), concurrency) for overrides, concurrency in rows
        ]

    def settings(self, cell: Cell) -> str:
        """The settings of a cell's runs, as `add_cells` was given them."""
        return self._db.execute("select settings from cells where label = ?", (cell.label,)).fetchone()[0]

    def problems(self) -> list[Problem]:
        """The problems in their order."""
        return [
            Problem(*row)
            for row in self._db.execute("select id, text, answer, kind from problems order by position")
        ]

    # ------------------------------------------------------------ runs

    def done(self) -> set[RunKey]:
        """The runs that are there."""
        rows = self._db.execute("select problem, label, sample from runs join cells on cells.id = runs.cell")
        return {RunKey(*row) for row in rows}

    def add(self, row: Row, events: Sequence[Event], problem: str, settings: str) -> None:
        """Keep one run, whole or not at all. Raises sqlite3.IntegrityError if it is there already."""
        self._db.execute(
            f"insert into runs values (null, ?, (select id from cells where label = ?){', ?' * 19})",
            (row.position, row.cell, row.sample, row.seed, row.session, row.started_at,
             round(row.seconds, 6), row.right, row.reason, row.answer, row.ended, row.thinking_tokens,
             row.drafts, row.accepted, row.unscorable, compact(row.tokens), compact(row.phases),
             steps_to_text(row.steps), row.error, row.degraded, packed(events, problem, settings)),
        )  # fmt: skip

    def forget_errors(self) -> int:
        """Drop the runs that broke off, so that they run again; how many there were."""
        return self._db.execute("delete from runs where error is not null").rowcount

    def rows(self) -> Iterator[Row]:
        """All runs, problem by problem."""
        cursor = self._db.cursor()
        cursor.row_factory = sqlite3.Row
        cursor.execute(
            "select problem as position, label as cell, sample, seed, session, started_at, seconds, right, "
            "reason, answer, ended, thinking_tokens, drafts, accepted, unscorable, tokens, phases, steps, "
            "error, degraded from runs join cells on cells.id = runs.cell order by problem, cells.id, sample"
        )
        for found in cursor:
            fields: dict[str, Any] = dict(found)
            try:
                fields["tokens"], fields["phases"] = (
                    json.loads(fields["tokens"]),
                    json.loads(fields["phases"]),
                )
                fields["right"], fields["steps"] = bool(fields["right"]), steps_from_text(fields["steps"])
            except (LookupError, TypeError, ValueError) as error:
                what = f"run of problem {fields['position']}, {fields['cell']}"
                raise damage(self.path, what, error) from error
            yield Row(**fields)

    def events(self, key: RunKey) -> list[Event]:
        """Every event of a run. Raises ConfigError if there is no such run."""
        found = self._db.execute(
            "select events, text, settings from runs join cells on cells.id = runs.cell "
            "join problems on problems.position = runs.problem "
            "where problem = ? and label = ? and sample = ?",
            (key.position, key.cell, key.sample),
        ).fetchone()
        if found is None:
            raise ConfigError(f"{self.path} has no run of problem {key.position}, {key.cell}, {key.sample}")
        try:
            return unpacked(*found)
        except (TypeError, ValueError, zlib.error) as error:
            raise damage(self.path, f"events of problem {key.position}, {key.cell}", error) from error

    def add_reading(self, session: int, position: int, role: str, seconds: float) -> None:
        """Note how long a model took to read a problem before the measured runs."""
        self._db.execute("insert into readings values (?, ?, ?, ?)", (session, position, role, seconds))

    def readings(self) -> dict[str, list[float]]:
        """Seconds to read a problem, by role."""
        found: dict[str, list[float]] = {}
        for role, seconds in self._db.execute("select role, seconds from readings"):
            found.setdefault(role, []).append(seconds)
        return found

    # ------------------------------------------------------------ judged steps

    def judged(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What the judge said of labelled steps, by item and prompt."""
        return {(i, p): json.loads(t) for i, p, t in self._db.execute("select * from judged")}

    def add_judged(self, item: str, prompt: str, reply: Mapping[str, Any]) -> None:
        """Keep one judged step."""
        self._db.execute("insert into judged values (?, ?, ?)", (item, prompt, compact(reply)))


def _apart(key: str, known: Any, now: Any) -> tuple[str, object, object] | None:
    """The first thing in which two values of a fact differ, by its name, and both values."""
    if all(isinstance(value, Mapping) for value in (known, now)):
        old, new = cast("Mapping[str, Any]", known), cast("Mapping[str, Any]", now)
        for name in old:
            if name in new and compact(old[name]) != compact(new[name]):
                return f"{key}.{name}", old[name], new[name]
        return None
    return None if compact(known) == compact(now) else (key, known, now)


def _longer(one: tuple[Problem, ...], other: tuple[Problem, ...]) -> tuple[Problem, ...] | None:
    """The longer one, if the shorter is how it starts."""
    short, long = sorted((one, other), key=len)
    return long if long[: len(short)] == short else None


def _identity(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "source": task.source,
        "problems": len(task.problems),
        "fingerprint": task.fingerprint,
    }
