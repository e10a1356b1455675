"""One SQLite file a study: everything that is needed to report on it, and to go on where it stopped.

Each run is one transaction, so a killed study has whole runs only; the unique key of a run makes it
impossible to have it twice. WAL mode lets a report read while the study goes on.
"""

import json
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

from specreason.errors import ConfigError, StudyError
from specreason.eval.grid import Cell
from specreason.eval.rows import Row, compact, steps_from_text, steps_to_text
from specreason.eval.tasks import Problem, Task
from specreason.eval.trace_codec import packed, unpacked
from specreason.reasoning.events import Event

STORE_VERSION = 1
_SCHEMA = """
create table study (key text primary key, value text not null) without rowid;
create table sessions (id integer primary key, started_at real not null, told text not null);
create table problems (position integer primary key, id text not null unique, text text not null,
                       answer text not null, kind text not null);
create table cells (id integer primary key, label text not null unique, scheme text not null, threshold real,
                    first_n integer, budget integer not null, concurrency integer not null,
                    settings text not null);
create table runs (id integer primary key, problem integer not null references problems,
                   cell integer not null references cells, sample integer not null, seed integer not null,
                   session integer not null references sessions, started_at real not null,
                   seconds real not null, right integer not null, reason text not null, answer text,
                   ended text, thinking_tokens integer not null, drafts integer not null,
                   accepted integer not null, unscorable integer not null, tokens text not null,
                   phases text not null, steps text not null, error text, degraded text,
                   events blob not null, unique (problem, cell, sample));
create table readings (session integer not null references sessions, problem integer not null,
                       role text not null, seconds real not null);
create table judged (item text not null, prompt text not null, told text not null,
                     primary key (item, prompt)) without rowid;
"""


_LEAST_ROOM = 100_000  # bytes
_DAMAGED = "use a copy of it from before, or name another file"


@dataclass(frozen=True, slots=True)
class RunKey:
    """What may not run twice."""

    position: int
    cell: str
    sample: int


class Store:
    """An open study file. `study` holds what may not change between sessions (task, models, sampling)."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if not create and not path.exists():
            raise ConfigError(f"no study at {path}; specreason eval run --store {path} makes one")
        self.path = path
        try:
            # Of a link SQLite would follow only one kind; its other files lie beside the file itself.
            self._db = sqlite3.connect(os.path.realpath(path), isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = normal")
            self._open(path, create=create)
            for (found,) in self._db.execute("pragma quick_check(1)"):
                if found != "ok":
                    raise ConfigError(f"{path} is damaged ({found.splitlines()[-1]}); {_DAMAGED}")
            self._cells = {str(label): int(n) for n, label in self._db.execute("select id, label from cells")}
        except sqlite3.Error as error:
            raise ConfigError(f"{path} cannot be used as a study: {error}{_room(path)}") from None

    def _open(self, path: Path, *, create: bool) -> None:
        version = int(self._db.execute("pragma user_version").fetchone()[0])
        empty = not self._db.execute("select count(*) from sqlite_master").fetchone()[0]
        if version == 0 and empty and create:
            self._db.executescript(f"begin; {_SCHEMA} pragma user_version = {STORE_VERSION}; commit;")
        elif version != STORE_VERSION:
            raise ConfigError(
                f"{path} is no study of this version of specreason (found {version}, need {STORE_VERSION}); "
                "name another file with --store"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._db.close()
        match error:
            case sqlite3.Error() if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise StudyError(
                    f"the disk of {self.path} is full; every run so far is kept: make room and give the same "
                    "command again"
                ) from error
            case sqlite3.Error():
                told = f"{self.path} cannot be read or written: {error}{_room(self.path)}"
                raise StudyError(told) from error
            case _:
                pass

    # ------------------------------------------------------------ what the study is

    def settle(self, facts: Mapping[str, Any], task: Task) -> None:
        """Write down what the study is, or check that it is still the same. Raises ConfigError.

        Facts that are mappings may have other keys than before; what both have must be the same. A task may
        go on where it ended before, or stop earlier: the store keeps the longer one.
        """
        grown = _longer(tuple(self.problems()), task.problems)
        told: dict[str, Any] = {**facts, "task": _identity(replace(task, problems=grown or task.problems))}
        for key, value in told.items():
            known = self.fact(key)
            if known is None:
                continue
            if key == "task" and grown:
                known = {**known, "problems": len(grown), "fingerprint": value["fingerprint"]}
            if (apart := _apart(key, known, value)) is not None:
                name, old, new = apart
                raise ConfigError(
                    f"{self.path} is a study with {name} = {compact(old):.120}, not {compact(new):.120}; "
                    "name another file with --store, or use the settings it was begun with"
                )
            if isinstance(value, Mapping):  # a session may use fewer models than there are
                told[key] = {**known, **value}
        with self._transaction():
            self._db.executemany(
                "insert or replace into study values (?, ?)",
                [(key, compact(value)) for key, value in told.items()],
            )
            self._db.executemany(
                "insert or ignore into problems values (?, ?, ?, ?, ?)",
                [(n, p.id, p.text, p.answer, p.kind) for n, p in enumerate(task.problems)],
            )

    def fact(self, key: str) -> Any:
        """One of the facts given to `settle`, or `task`: its name, source and fingerprint."""
        found = self._db.execute("select value from study where key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else None

    def add_cells(self, cells: Sequence[Cell], settings: Mapping[Cell, str]) -> None:
        """Make room for these cells; those that are there stay as they are."""
        for cell in cells:
            self._db.execute(
                "insert or ignore into cells (label, scheme, threshold, first_n, budget, concurrency, "
                "settings) values (?, ?, ?, ?, ?, ?, ?)",
                (cell.label, cell.scheme, cell.threshold, cell.first_n, cell.budget, cell.concurrency,
                 settings[cell]),
            )  # fmt: skip
            known = self._db.execute("select settings from cells where label = ?", (cell.label,)).fetchone()
            if known[0] != settings[cell]:
                raise ConfigError(
                    f"{self.path} has '{cell.label}' with other settings of the method than now; name "
                    "another file with --store, or use the settings it was begun with"
                )
        self._cells = {str(label): int(n) for n, label in self._db.execute("select id, label from cells")}

    def begin_session(self, told: Mapping[str, Any]) -> int:
        """Note that a process begins to work on the study; `told`: versions, machine, engines."""
        added = self._db.execute(
            "insert into sessions (started_at, told) values (?, ?)", (time.time(), compact(told))
        )
        assert added.lastrowid is not None
        return added.lastrowid

    def sessions(self) -> list[dict[str, Any]]:
        """What each session told, oldest first, with `started_at`."""
        rows = self._db.execute("select started_at, told from sessions order by id")
        return [json.loads(told) | {"started_at": at} for at, told in rows]

    def cells(self) -> list[Cell]:
        """The cells in the order in which they were added."""
        rows = self._db.execute(
            "select scheme, threshold, first_n, budget, concurrency from cells order by id"
        )
        return [Cell(*row) for row in rows]

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
            f"insert into runs values (null{', ?' * 21})",
            (row.position, self._cells[row.cell], row.sample, row.seed, row.session, row.started_at,
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
            told: dict[str, Any] = dict(found)
            try:
                told["tokens"], told["phases"] = json.loads(told["tokens"]), json.loads(told["phases"])
                told["right"], told["steps"] = bool(told["right"]), steps_from_text(told["steps"])
            except (LookupError, TypeError, ValueError) as error:
                raise self._damaged(f"run of problem {told['position']}, {told['cell']}", error) from error
            yield Row(**told)

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
            raise self._damaged(f"events of problem {key.position}, {key.cell}", error) from error

    def add_reading(self, session: int, position: int, role: str, seconds: float) -> None:
        """Note how long a model took to read a problem before the measured runs."""
        self._db.execute("insert into readings values (?, ?, ?, ?)", (session, position, role, seconds))

    def readings(self) -> dict[str, list[float]]:
        """Seconds to read a problem, by role."""
        told: dict[str, list[float]] = {}
        for role, seconds in self._db.execute("select role, seconds from readings"):
            told.setdefault(role, []).append(seconds)
        return told

    # ------------------------------------------------------------ judged steps

    def judged(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What the judge said of labelled steps, by item and prompt."""
        return {(i, p): json.loads(t) for i, p, t in self._db.execute("select * from judged")}

    def add_judged(self, item: str, prompt: str, told: Mapping[str, Any]) -> None:
        """Keep one judged step."""
        self._db.execute("insert into judged values (?, ?, ?)", (item, prompt, compact(told)))

    def _damaged(self, what: str, error: Exception) -> StudyError:
        return StudyError(f"{self.path} is damaged ({what}: {type(error).__name__}); {_DAMAGED}")

    def _transaction(self) -> sqlite3.Connection:
        self._db.execute("begin immediate")
        return self._db


def _room(path: Path) -> str:
    """A hint where room is missing: SQLite calls it an I/O error if it cannot make its own files."""
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        return ""
    return "" if free > _LEAST_ROOM else f"; its disk is full ({free:,} bytes are left)"


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
    """The longer one, if the shorter is how it begins."""
    short, long = sorted((one, other), key=len)
    return long if long[: len(short)] == short else None


def _identity(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "source": task.source,
        "problems": len(task.problems),
        "fingerprint": task.fingerprint,
    }
