"""The file of a study: its tables, and what to say of a file that is none, is damaged, or has no room."""

import os
import shutil
import sqlite3
from pathlib import Path

from specreason.errors import ConfigError, StudyError

STORE_VERSION = 2
_SCHEMA = """
create table study (key text primary key, value text not null) without rowid;
create table sessions (id integer primary key, started_at real not null, facts text not null);
create table problems (position integer primary key, id text not null unique, text text not null,
                       answer text not null, kind text not null);
create table cells (id integer primary key, label text not null unique, overrides text not null,
                    concurrency integer not null, settings text not null);
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
create table judged (item text not null, prompt text not null, reply text not null,
                     primary key (item, prompt)) without rowid;
"""
_LEAST_ROOM = 100_000  # bytes
_ADVICE = "use a copy of it from before, or name another file"


def opened(path: Path, *, create: bool) -> sqlite3.Connection:
    """The database of a study. Raises ConfigError if the file is none, or is damaged."""
    if not create and not path.exists():
        raise ConfigError(f"no study at {path}; specreason eval run --store {path} makes one")
    try:
        # Of a link SQLite would follow only one kind; its other files lie beside the file itself.
        database = sqlite3.connect(os.path.realpath(path), isolation_level=None)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")
        _check_version(database, path, create=create)
        for (found,) in database.execute("pragma quick_check(1)"):
            if found != "ok":
                raise ConfigError(f"{path} is damaged ({found.splitlines()[-1]}); {_ADVICE}")
    except sqlite3.Error as error:
        raise ConfigError(f"{path} cannot be used as a study: {error}{_room(path)}") from None
    return database


def _check_version(database: sqlite3.Connection, path: Path, *, create: bool) -> None:
    version = int(database.execute("pragma user_version").fetchone()[0])
    empty = not database.execute("select count(*) from sqlite_master").fetchone()[0]
    if version == 0 and empty and create:
        database.executescript(f"begin; {_SCHEMA} pragma user_version = {STORE_VERSION}; commit;")
    elif version != STORE_VERSION:
        raise ConfigError(
            f"{path} is no study of this version of specreason (found {version}, need {STORE_VERSION}); "
            "name another file with --store"
        )


def failure(path: Path, error: sqlite3.Error) -> StudyError:
    """What to raise where SQLite fails in the middle of the work."""
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return StudyError(
            f"the disk of {path} is full; every run so far is kept: make room and give the same command again"
        )
    return StudyError(f"{path} cannot be read or written: {error}{_room(path)}")


def damage(path: Path, what: str, error: Exception) -> StudyError:
    """What to raise where something in the file cannot be what was written."""
    return StudyError(f"{path} is damaged ({what}: {type(error).__name__}); {_ADVICE}")


def _room(path: Path) -> str:
    """A hint where room is missing: SQLite calls it an I/O error if it cannot make its own files."""
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        return ""
    return "" if free > _LEAST_ROOM else f"; its disk is full ({free:,} bytes are left)"
