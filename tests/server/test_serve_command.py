"""`specreason serve` as a process: where it listens, how it ends, what it refuses to start with."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import pytest
from model_server import TEMPLATE, serving_script
from server import FakeServer, hangs, serving
from serving import ANSWER, asking, base, small

from specreason.config import ServerSettings, load_settings
from specreason.errors import ConfigError
from specreason.server.auth import load_keys
from specreason.server.run import bound

COMMAND = (sys.executable, "-m", "specreason.cli.app", "serve", "--port", "0", "--log-format", "json")

VERSION = version("specreason")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text("first-long-key\nsecond-long-key\n")
    return file


@pytest.fixture
def bad_key_file(tmp_path: Path) -> Path:
    file = tmp_path / "bad-keys"
    file.write_text("short\n")
    return file


@pytest.fixture
def template(tmp_path: Path) -> Path:
    file = tmp_path / "template.jinja"
    file.write_text(TEMPLATE)
    return file


@asynccontextmanager
async def command(template: Path, **more: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """The process and its address, in front of a scripted pair."""
    async with serving_script(base(delay_s=0.02)) as one, serving_script(small(delay_s=0.02)) as other:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, env=environment(one.url, other.url, template, **more), stderr=asyncio.subprocess.PIPE
        )
        try:
            yield process, await ready_at(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def environment(base_url: str, small_url: str, template: Path, **more: str) -> dict[str, str]:
    told = {"PATH": "/usr/bin:/bin", **more}
    for role, url in (("BASE", base_url), ("SMALL", small_url)):
        told |= {
            f"SPECREASON_{role}__URL": url,
            f"SPECREASON_{role}__CHAT_TEMPLATE": str(template),
            f"SPECREASON_{role}__THINKING": "on",
        }
    return told


async def ready_at(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(60):
        async for line in process.stderr:
            told = json.loads(line)  # every line is JSON, also those of libraries
            if told["event"] == "ready":
                return told["address"]
    raise AssertionError("it was never ready")


async def test_it_serves_and_a_signal_lets_what_runs_finish(template: Path) -> None:
    async with (
        command(template) as (process, url),
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as client,
    ):
        assert (await client.get("/ready")).json()["status"] == "ready"
        asked = asyncio.create_task(client.post("/v1/chat/completions", json=asking()))
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert (await asked).json()["choices"][0]["message"]["content"] == ANSWER
        assert await process.wait() == 0


async def test_a_second_signal_cuts(template: Path) -> None:
    async with (
        command(template) as (process, url),
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as client,
    ):
        asked = asyncio.create_task(client.post("/v1/chat/completions", json=asking()))
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert (await asked).json()["error"]["code"] == "server_stopping"
        assert await process.wait() == 0


# ---------------------------------------------------------------- before the models are there


@asynccontextmanager
async def loading(
    template: Path, *flags: str, **more: str
) -> AsyncGenerator[tuple[asyncio.subprocess.Process, FakeServer]]:
    """The process, in front of a model server that never answers."""
    async with serving(FakeServer(listing=hangs())) as fake:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *flags, env=environment(fake.url, fake.url, template, **more),
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield process, fake
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def until_loading(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stderr is not None
    async with asyncio.timeout(60):
        told = json.loads(await process.stderr.readline())
    assert told["event"] == "loading"
    return told


@pytest.mark.parametrize("wanted", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_while_loading_ends_it_well(template: Path, wanted: signal.Signals) -> None:
    async with loading(template) as (process, fake):
        assert (await until_loading(process))["version"] == VERSION
        await asyncio.sleep(0.3)
        process.send_signal(wanted)
        async with asyncio.timeout(60):
            _, told = await process.communicate()
            await fake.client_left.wait()
        assert process.returncode == 0
        assert [json.loads(line)["event"] for line in told.splitlines()] == ["stopped"]


async def test_nobody_is_let_in_before_the_models_are_there(template: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with loading(template, "--port", str(port)) as (process, _):
        await until_loading(process)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_keys_that_cannot_be_used_end_it_before_it_loads(template: Path, bad_key_file: Path) -> None:
    async with loading(template, "--api-keys-file", str(bad_key_file)) as (process, _):
        async with asyncio.timeout(60):
            _, told = await process.communicate()
        assert process.returncode == 2
        assert b"at least 8 ASCII characters" in told
        assert b"loading" not in told


async def test_it_says_what_it_serves_when_it_is_ready(template: Path, key_file: Path) -> None:
    async with serving_script(base()) as one, serving_script(small()) as other:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--concurrency", "3", "--api-keys-file", str(key_file),
            env=environment(one.url, other.url, template), stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        lines: list[dict[str, Any]] = []
        async for line in process.stderr:
            lines.append(json.loads(line))
            if lines[-1]["event"] == "ready":
                process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    # Nothing but our own lines, none of the libraries'.
    assert [line["event"] for line in lines] == ["loading", "ready", "stopping", "stopped"]
    ready = lines[1]
    assert ready["version"] == VERSION
    assert (ready["concurrency"], ready["keys"]) == (3, 2)
    assert ready["models"][0] == "specreason"
    assert ready["address"].startswith("http://127.0.0.1:")


async def test_models_that_do_not_answer_end_it_with_a_message(template: Path) -> None:
    nowhere = "http://127.0.0.1:9/v1"
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        env=environment(nowhere, nowhere, template, SPECREASON_BASE__ATTEMPTS="1"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 1
    assert b"nothing answers at http://127.0.0.1:9" in told
    assert b"Traceback" not in told


# ---------------------------------------------------------------- what it refuses


def test_a_taken_port_names_the_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"'server\.port'"):
            bound(ServerSettings(port=taken.getsockname()[1]))


def test_an_open_address_needs_keys_or_a_decision() -> None:
    with pytest.raises(ConfigError, match=r"'server\.host' is '0\.0\.0\.0'.*'server\.api_keys'"):
        load_keys(ServerSettings(host="0.0.0.0"))
    assert not load_keys(ServerSettings(host="0.0.0.0", allow_anonymous=True))
    assert not load_keys(ServerSettings(host="::1"))
    keys = load_settings(env={"SPECREASON_SERVER__API_KEYS": "['long-enough-key', 'another-long-key']"})
    assert len(load_keys(keys.server.model_copy(update={"host": "0.0.0.0"}))) == 2


@pytest.mark.parametrize(
    "content", [None, "", "# nothing\n", "short\n", "with space inside\n", "schlüssel-lang\n"]
)
def test_a_key_file_that_holds_no_keys_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"'server\.api_keys") as caught:
        load_keys(ServerSettings(api_keys_file=file))
    assert "short" not in str(caught.value)


def test_keys_in_the_environment_need_no_brackets() -> None:
    settings = load_settings(env={"SPECREASON_SERVER__API_KEYS": "long-enough-key, another-long-key"})
    assert len(load_keys(settings.server)) == 2


def test_keys_are_shown_nowhere() -> None:
    secret = "a-very-secret-key"
    settings = load_settings(env={"SPECREASON_SERVER__API_KEYS": f"['{secret}']"})
    assert secret not in repr(settings) + str(settings) + settings.model_dump_json()
    for wrong in (f"['{secret}'", f"[{secret}]", f"['{secret}', 5]"):
        with pytest.raises(ConfigError) as caught:
            load_settings(env={"SPECREASON_SERVER__API_KEYS": wrong})
        assert secret not in str(caught.value)
        assert "API_KEYS" in str(caught.value) or "api_keys" in str(caught.value)


async def test_spans_are_sent_where_opentelemetry_is_told_to(template: Path) -> None:
    paths: list[str] = []

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        paths.append(head.split(" ")[1])
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    collector = await asyncio.start_server(collect, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{collector.sockets[0].getsockname()[1]}"
    async with (
        collector,
        command(template, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as (process, url),
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as client,
    ):
        assert (await client.post("/v1/chat/completions", json=asking())).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert set(paths) == {"/v1/traces"}  # on a slow machine in more than one part


async def test_without_its_extra_the_command_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['fastapi'] = None; sys.argv = ['specreason', 'serve'];"
        "from specreason.cli.app import main; main()"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE)
    _, told = await process.communicate()
    assert process.returncode == 2
    assert b"pip install 'specreason[server]'" in told
