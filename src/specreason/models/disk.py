"""The disk under the cache: free space, failures in plain words, and one process at a time for each file."""

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from specreason.errors import ModelFileError
from specreason.models.cache import CACHE_VARIABLE

_LOCK_POLL = 0.2  # seconds
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_ELSEWHERE = f"choose another folder with {CACHE_VARIABLE}=/path/with/space"


def need_space(folder: Path, needed: int) -> None:
    """Raise ModelFileError unless `needed` bytes are free where `folder` is."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelFileError(
            f"Not enough disk space in {folder}: {_size(needed)} needed, {_size(free)} free. "
            f"Free some, or {_ELSEWHERE}."
        )


@contextmanager
def disk_errors(folder: Path) -> Generator[None]:
    """Turn an OSError of reading or writing below `folder` into a ModelFileError that says what to do."""
    try:
        yield
    except OSError as error:
        raise explain(error, folder) from error


def explain(error: OSError, folder: Path) -> ModelFileError:
    """What an OSError below `folder` means to the user."""
    if error.errno in _FULL:
        return disk_full(folder)
    return ModelFileError(f"Cannot use the model folder {folder}: {error}. Fix that, or {_ELSEWHERE}.")


def disk_full(folder: Path) -> ModelFileError:
    """The disk filled up while something was being written; what was fetched is kept."""
    return ModelFileError(
        f"The disk of {folder} is full. Free some space and run the same command again, it goes on where it "
        f"stopped; or {_ELSEWHERE}."
    )


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Generator[None]:
    """Hold the lock file `path`; call `on_wait` once if another process holds it, then wait for it.

    The system drops the lock when its holder ends, however it ends, so no lock is ever stale. The empty file
    stays: deleting it would let two waiters lock two different files of the same name.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_lock(descriptor):
            on_wait()
            while not _try_lock(descriptor):
                time.sleep(_LOCK_POLL)
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EDEADLK}:
                return False
            raise
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
