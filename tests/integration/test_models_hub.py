"""The hub path against a real HTTP server on this machine."""

import hashlib
import random
import re
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from specreason.errors import ModelFileError
from specreason.models import cache
from specreason.models.catalogue import HubFile, Weights
from specreason.models.download import pull
from specreason.models.source import Progress

CONTENT = b"GGUF" + random.Random(7).randbytes(300_000)
TINY = Weights(
    name="tiny",
    file="tiny.gguf",
    bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    sources=(HubFile("org/tiny-GGUF", "tiny-q4.gguf"),),
    licence="CC0-1.0",
    parameters=1,
    context=8,
    note="",
)


class Hub(ThreadingHTTPServer):
    """One file under every address; the fields say how the server misbehaves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = CONTENT
        self.ranges = True
        self.status = 200
        self.cuts: list[int] = []  # bytes after which each of the next connections breaks
        self.moved_to = ""
        self.announced_sha256 = ""
        self.gate: threading.Event | None = None
        self.asked: list[tuple[str, str | None, str | None]] = []  # path, Range, Authorization

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        hub = self.server
        assert isinstance(hub, Hub)
        hub.asked.append((self.path, self.headers["Range"], self.headers["Authorization"]))
        if hub.gate:
            hub.gate.wait(10)
        if hub.moved_to:
            self._head(
                302, {"Location": hub.moved_to + self.path, "X-Linked-Etag": f'"{hub.announced_sha256}"'}
            )
            return
        if hub.status != 200:
            self._head(hub.status, {"Content-Length": "0"})
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(asked[1]) if asked and hub.ranges else 0
        body, size = hub.content[start:], len(hub.content)
        if start >= size:
            self._head(416, {"Content-Range": f"bytes */{size}"})
            return
        extent = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
        self._head(206 if start else 200, {"Content-Length": str(len(body)), **extent})
        # A body shorter than its announced length is what a broken connection looks like.
        self.wfile.write(body[: hub.cuts.pop(0)] if hub.cuts else body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve() -> Generator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Hub]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPECREASON_CACHE", str(tmp_path))
    for server in serve():
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def elsewhere() -> Generator[Hub]:
    yield from serve()


def partial() -> Path:
    path = cache.path_of(TINY)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name("tiny.gguf.partial")


def left_over() -> list[str]:
    return sorted(path.name for path in cache.folder().iterdir() if path.suffix != ".lock")


def test_a_pull_brings_the_file_and_reports_every_byte(hub: Hub):
    seen: list[Progress] = []
    assert pull(TINY, seen.append).read_bytes() == CONTENT
    assert hub.asked == [("/org/tiny-GGUF/resolve/main/tiny-q4.gguf", None, None)]
    assert seen[-1] == Progress("hub", len(CONTENT), len(CONTENT))
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert left_over() == ["tiny.gguf"]


def test_a_second_pull_asks_nobody(hub: Hub):
    pull(TINY)
    pull(TINY)
    assert len(hub.asked) == 1


def test_force_fetches_again(hub: Hub):
    pull(TINY).write_bytes(b"x" * len(CONTENT))
    assert pull(TINY, force=True).read_bytes() == CONTENT


def test_an_interrupted_pull_goes_on_where_it_stopped(hub: Hub):
    def interrupt(progress: Progress) -> None:
        if progress.done < progress.total:
            raise KeyboardInterrupt

    hub.cuts = [100_000]
    with pytest.raises(KeyboardInterrupt):
        pull(TINY, interrupt)
    kept = partial().stat().st_size
    assert 0 < kept < len(CONTENT)
    assert pull(TINY).read_bytes() == CONTENT
    assert hub.asked[-1][1] == f"bytes={kept}-"


def test_a_broken_connection_is_taken_up_again(hub: Hub):
    hub.cuts = [100_000, 50_000]
    assert pull(TINY).read_bytes() == CONTENT
    assert [asked for _, asked, _ in hub.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_connection_that_brings_nothing_is_given_up(hub: Hub):
    hub.cuts = [1000, 0, 1000]
    with pytest.raises(ModelFileError, match=r"The hub \(127\.0\.0\.1\) is out of reach"):
        pull(TINY)
    assert len(hub.asked) == 2
    assert partial().stat().st_size == 1000


def test_a_connection_that_breaks_for_ever_is_given_up(hub: Hub):
    hub.cuts = [1000] * 20
    with pytest.raises(ModelFileError, match="broke off 5 times, at 5,000 bytes"):
        pull(TINY)


def test_a_server_without_ranges_starts_again(hub: Hub):
    hub.ranges = False
    partial().write_bytes(CONTENT[:1000])
    assert pull(TINY).read_bytes() == CONTENT


def test_a_complete_partial_file_is_only_checked(hub: Hub):
    partial().write_bytes(CONTENT)
    assert pull(TINY).read_bytes() == CONTENT
    assert hub.asked == []


def test_a_partial_file_that_is_too_long_is_dropped(hub: Hub):
    partial().write_bytes(CONTENT + b"more")
    assert pull(TINY).read_bytes() == CONTENT


@pytest.mark.parametrize("kept", [0, 1000])
def test_another_file_is_refused_before_it_is_downloaded(kept: int, hub: Hub):
    partial().write_bytes(CONTENT[:kept])
    hub.content = CONTENT + b"a newer version"
    with pytest.raises(ModelFileError, match="has a different file"):
        pull(TINY)
    assert left_over() == []


def test_a_shorter_file_than_the_kept_part_is_refused(hub: Hub):
    partial().write_bytes(CONTENT[:2000])
    hub.content = CONTENT[:1000]
    with pytest.raises(ModelFileError, match="did not send the part"):
        pull(TINY)
    assert left_over() == []


def test_wrong_bytes_are_removed_and_named(hub: Hub):
    hub.content = CONTENT[:-1] + b"?"
    with pytest.raises(ModelFileError, match="damaged or another file") as error:
        pull(TINY)
    assert TINY.sha256 in str(error.value)
    assert hashlib.sha256(hub.content).hexdigest() in str(error.value)
    assert left_over() == []


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_refusal_is_told(status: int, hub: Hub):
    hub.status = status
    with pytest.raises(ModelFileError, match=rf"The hub \(127\.0\.0\.1\) answered {status}"):
        pull(TINY)


def test_the_token_stays_with_the_hub_when_it_redirects(
    hub: Hub, elsewhere: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.moved_to = elsewhere.address
    assert pull(TINY).read_bytes() == CONTENT
    assert hub.asked[0][2] == "Bearer hf_secret"
    assert elsewhere.asked[0][2] is None
    assert "hf_secret" not in caplog.text


def test_a_token_with_a_line_break_is_refused_and_not_shown(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_sec\nret")
    with pytest.raises(ModelFileError, match="HF_TOKEN") as error:
        pull(TINY)
    assert "hf_sec" not in str(error.value)
    assert hub.asked == []


def test_a_hash_announced_with_the_redirect_spares_the_download(hub: Hub, elsewhere: Hub):
    hub.moved_to, hub.announced_sha256 = elsewhere.address, "0" * 64
    with pytest.raises(ModelFileError, match="has a different file"):
        pull(TINY)
    hub.announced_sha256 = TINY.sha256
    assert pull(TINY).read_bytes() == CONTENT


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "ftp://127.0.0.1", "http://[broken"])
def test_no_hub_is_told_plainly(endpoint: str, hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(ModelFileError, match=r"The hub \(.*\) is out of reach"):
        pull(TINY)


def test_an_offline_machine_does_not_ask(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelFileError, match="HF_HUB_OFFLINE"):
        pull(TINY)
    assert hub.asked == []


def test_two_pulls_at_once_fetch_once(hub: Hub):
    hub.gate = threading.Event()
    waiting = threading.Event()

    def fetch() -> None:
        pull(TINY, on_notice=lambda _: waiting.set())

    pulls = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in pulls:
        thread.start()
    assert waiting.wait(10)
    hub.gate.set()
    for thread in pulls:
        thread.join(10)
    assert cache.path_of(TINY).read_bytes() == CONTENT
    assert len(hub.asked) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_told(hub: Hub):
    partial().symlink_to("/dev/full")
    with pytest.raises(ModelFileError, match=r"disk of .* is full.*SPECREASON_CACHE="):
        pull(TINY)
