"""What comes over a socket that no HTTP library would send: half requests, two lengths, strange hosts."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from serving import Json, Served, asking, served

from specreason import ServerSettings
from specreason.server.admission import LONGEST_RETRY_S
from specreason.server.auth import Keys
from specreason.server.entrance import hosts_for
from specreason.server.errors import TRY_AGAIN_S

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


async def test_the_refusal_of_two_lengths_is_one_of_ours() -> None:
    async with served() as state, raw(state) as (reader, writer):
        writer.write(request(*TWO_LENGTHS) + b"0\r\n\r\n")
        status, told = parts(await until_closed(reader))
    assert (status, told["error"]["code"]) == (400, "ambiguous_length")


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
