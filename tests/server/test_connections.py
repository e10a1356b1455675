"""What comes over a socket that no HTTP library would send: half requests, two lengths, strange hosts."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from serving import Json, Served, asking, pair, served, until

from specreason import ServerSettings
from specreason.engines.scripted import ScriptedEngine
from specreason.server.admission import LONGEST_RETRY_S
from specreason.server.auth import Keys
from specreason.server.entrance import check_length, hosts_for
from specreason.server.errors import TRY_AGAIN_S, Refused

PATH = "/v1/chat/completions"
LOCAL = "localhost"


@asynccontextmanager
async def raw(state: Served) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    where = urlsplit(state.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def until_closed(reader: asyncio.StreamReader, within: float = 5.0) -> bytes:
    """All that comes until the server closes the connection."""
    async with asyncio.timeout(within):
        return await reader.read()


def request(*headers: str, method: str = "POST", path: str = PATH, host: str = LOCAL) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")


def troubles(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def parts(reply: bytes) -> tuple[int, Json]:
    head, _, body = reply.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


async def test_a_kept_connection_outlives_every_retry_after() -> None:
    async with served() as state:
        assert state.server.config.timeout_keep_alive >= max(TRY_AGAIN_S, LONGEST_RETRY_S) + 10


# ---------------------------------------------------------------- two lengths

TWO_LENGTHS = ("Content-Type: application/json", "Content-Length: 5", "Transfer-Encoding: chunked")
SECOND = request("Content-Length: 0", method="GET", path="/version")


@pytest.mark.parametrize("body", [b"0\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n", b""])
async def test_a_request_of_two_lengths_is_refused_and_nothing_after_it_is_read(body: bytes) -> None:
    async with served() as state, raw(state) as (reader, writer):
        writer.write(request(*TWO_LENGTHS) + body + SECOND)
        reply = await until_closed(reader)
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert reply.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in reply.lower()


def test_the_refusal_of_two_lengths_is_one_of_ours() -> None:  # where the parser lets them through
    with pytest.raises(Refused, match="both Content-Length and Transfer-Encoding") as caught:
        check_length([(b"transfer-encoding", b"chunked"), (b"content-length", b"5")])
    assert (caught.value.status, caught.value.headers) == (400, {"Connection": "close"})
    for one in ((b"transfer-encoding", b"chunked"), (b"content-length", b"5")):
        check_length([(b"host", b"localhost"), one])


async def test_a_question_of_a_browser_is_no_way_around_that() -> None:
    asked = ("Origin: http://localhost:3000", "Access-Control-Request-Method: POST")
    async with served(cors_origins=["http://localhost:3000"]) as state:
        async with raw(state) as (reader, writer):
            writer.write(request(*asked, *TWO_LENGTHS, method="OPTIONS") + b"0\r\n\r\n" + SECOND)
            assert (await until_closed(reader)).count(b"HTTP/1.1 400 ") == 1
        async with raw(state) as (reader, writer):
            writer.write(request(*asked, "Connection: close", method="OPTIONS"))
            assert (await until_closed(reader)).startswith(b"HTTP/1.1 200 ")


# ---------------------------------------------------------------- hosts


async def status_for(state: Served, host: str, path: str = "/health", **headers: str) -> int:
    return (await state.client.get(path, headers={"Host": host, **headers})).status_code


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "localhost.:80", "127.0.0.1:9", "[::1]:8080"])
async def test_names_of_this_machine_are_let_in_with_any_port(host: str) -> None:
    async with served() as state:
        assert await status_for(state, host) == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/v1/models", "/docs", "/nothing"])
async def test_a_name_that_a_web_page_made_up_is_refused_everywhere(path: str) -> None:
    async with served() as state:
        for host in ("attacker.example", "localhost.attacker.example:8080", "127.0.0.1.attacker.example"):
            assert await status_for(state, host, path) == 403


async def test_the_refusal_says_what_to_do() -> None:
    async with served() as state:
        reply = await state.client.post(PATH, json=asking(), headers={"Host": "attacker.example:8080"})
    assert reply.status_code == 403
    error = reply.json()["error"]
    assert (error["type"], error["code"]) == ("permission_error", "host_not_allowed")
    assert "'attacker.example:8080'" in error["message"]
    assert "'server.allowed_hosts'" in error["message"]


async def test_further_names_can_be_allowed() -> None:
    async with served(allowed_hosts="Models.example:443, other.example") as state:
        for host in ("models.example", "other.example:8080", "localhost"):
            assert await status_for(state, host) == 200
        assert await status_for(state, "attacker.example") == 403
    async with served(allowed_hosts=["*"]) as state:
        assert await status_for(state, "attacker.example") == 200


async def test_with_keys_names_are_checked_only_if_some_are_set() -> None:
    async with served(api_keys=["a-long-enough-key"]) as state:
        assert await status_for(state, "models.example") == 200
    async with served(api_keys=["a-long-enough-key"], allowed_hosts=["models.example"]) as state:
        assert await status_for(state, "models.example") == 200
        assert await status_for(state, "attacker.example") == 403


def test_beyond_loopback_names_are_checked_only_if_some_are_set() -> None:
    open_to_all = ServerSettings(host="0.0.0.0", allow_anonymous=True)
    assert hosts_for(open_to_all, Keys([])) is None
    allowed = hosts_for(open_to_all.model_copy(update={"allowed_hosts": ["models.example"]}), Keys([]))
    assert allowed is not None
    assert {"models.example", "localhost"} <= set(allowed)


async def test_a_probe_without_a_host_is_no_web_page() -> None:
    async with served() as state, raw(state) as (reader, writer):
        writer.write(b"GET /health HTTP/1.0\r\n\r\n")
        assert (await until_closed(reader)).split()[1] == b"200"


# ---------------------------------------------------------------- half-sent

HALF_BODY = request("Content-Type: application/json", "Content-Length: 1000") + b"{"
HALF_HEAD = b"GET /version HTTP/1.1\r\nHo"
WHOLE = request(method="GET", path="/version")


async def test_a_body_that_stops_coming_is_answered_408_and_the_connection_closed() -> None:
    async with served(body_timeout=0.3) as state, raw(state) as (reader, writer):
        writer.write(HALF_BODY)
        reply = await until_closed(reader)
    status, told = parts(reply)
    assert (status, told["error"]["code"]) == (408, "body_timeout")
    assert "'server.body_timeout'" in told["error"]["message"]
    assert b"connection: close" in reply.lower()


async def test_a_body_that_drips_is_given_up() -> None:
    async with served(body_timeout=0.5) as state, raw(state) as (reader, writer):
        writer.write(HALF_BODY)
        closed = asyncio.create_task(until_closed(reader))
        while not closed.done():
            writer.write(b" ")
            await asyncio.sleep(0.05)
        assert parts(await closed)[0] == 408


async def test_a_slow_body_is_waited_for_while_it_comes() -> None:
    body = json.dumps(asking()).encode()
    head = request("Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close")
    async with served(body_timeout=5) as state, raw(state) as (reader, writer):
        writer.write(head)
        third = len(body) // 3
        for piece in (body[:third], body[third : 2 * third], body[2 * third :]):
            await asyncio.sleep(0.2)
            writer.write(piece)
        assert parts(await until_closed(reader))[0] == 200


@pytest.mark.parametrize("sent", [b"", HALF_HEAD])
async def test_a_head_that_does_not_come_is_given_up(sent: bytes) -> None:
    async with served(body_timeout=0.3) as state:
        async with raw(state) as (reader, writer):
            writer.write(sent)
            assert await until_closed(reader) == b""
        await until(lambda: not state.server.state.connections)


async def test_dripping_bytes_do_not_keep_a_head_alive() -> None:
    async with served(body_timeout=0.3) as state, raw(state) as (reader, writer):
        writer.write(b"GET /version HTTP/1.1\r\nX: ")
        closed = asyncio.create_task(until_closed(reader))
        while not closed.done():
            writer.write(b"x")
            await asyncio.sleep(0.05)
        with suppress(ConnectionError):
            await closed


async def test_the_second_head_of_a_connection_has_the_same_time_and_an_idle_one_more() -> None:
    async with served(body_timeout=0.3) as state, raw(state) as (reader, writer):
        writer.write(WHOLE)
        await reader.readuntil(b"}")
        await asyncio.sleep(0.6)  # idle
        writer.write(WHOLE)
        await reader.readuntil(b"}")
        writer.write(HALF_HEAD)
        assert await until_closed(reader) == b""


async def test_an_answer_that_takes_longer_is_not_cut_off() -> None:
    async with served(pair(delay_s=0.05), body_timeout=0.2) as state:
        reply = await state.chat()
    assert reply.status_code == 200
    assert reply.elapsed.total_seconds() > 0.4


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, WHOLE + HALF_HEAD, HALF_BODY, WHOLE + HALF_BODY])
async def test_half_a_request_does_not_hold_up_the_end_of_the_server(sent: bytes) -> None:
    async with served() as state, raw(state) as (reader, writer):
        writer.write(sent)
        await until(lambda: state.server.state.connections)
        await asyncio.sleep(0.2)
        state.server.stop()
        replies = await until_closed(reader, within=2.0)
        await until(lambda: not state.server.state.connections, within=2.0)
    assert (b"server_stopping" in replies) == (HALF_BODY in sent)


async def test_leaving_amid_a_body_is_no_error_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as state:
        async with raw(state) as (_, writer):
            writer.write(HALF_BODY)
            await until(lambda: state.server.server_state.tasks)
            await asyncio.sleep(0.1)
        await until(lambda: not state.server.server_state.tasks)
    assert troubles(caplog) == []


# ---------------------------------------------------------------- clients that take nothing


@asynccontextmanager
async def deaf_client(state: Served, **body: Any) -> AsyncGenerator[None]:
    """A client that asks the base model and reads nothing of what it says."""
    content = json.dumps(asking(model="scripted-base", max_tokens=10**6, **body)).encode()
    head = request("Content-Type: application/json", "Connection: close", f"Content-Length: {len(content)}")
    where, loop = urlsplit(state.url), asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, (where.hostname, where.port))
        await loop.sock_sendall(client, head + content)
        await until(lambda: state.server.server_state.tasks)
        yield


def talkative() -> ScriptedEngine:
    """It says more than the sockets of both sides hold."""
    return ScriptedEngine("base", steps=["Done.</think>"], answer=f" {'w' * 200_000}" * 40)


async def test_a_client_that_takes_nothing_is_cut_off_without_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        served(pair(talkative()), client_timeout=0.5, max_tokens=10**6) as state,
        deaf_client(state, stream=True),
    ):
        await until(lambda: not state.server.state.connections)
        await until(lambda: not state.server.server_state.tasks)
    assert troubles(caplog) == []


async def test_a_whole_answer_that_nobody_takes_does_not_hold_its_connection() -> None:
    async with (
        served(pair(talkative()), client_timeout=0.5, max_tokens=10**6) as state,
        deaf_client(state),
    ):
        await until(lambda: not state.server.state.connections)
