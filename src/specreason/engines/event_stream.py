"""A streamed reply as JSON objects: server-sent events, as odd as servers and proxies make them."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Final, cast

import httpx2

from specreason.engines.reading import Json
from specreason.engines.refusals import is_error, parsed

DONE: Final[Json] = {"done": True}  # recognised by identity: the server has said that all is sent
_LINGER = 0.02  # seconds from a reply's last event to its end
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_BARE_ERROR = b"error:"  # a field of its own, as older versions of llama-server send
_ENOUGH = max(map(len, _FIELDS))  # bytes by which a stream is known
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_BODY = 100_000  # bytes that are read of what is no stream


class NoStream(Exception):
    """What came is no stream of JSON objects; `sent` is its text."""

    def __init__(self, sent: str) -> None:
        super().__init__(sent)
        self.sent = sent


class SentError(Exception):
    """The server sent an error in place of a chunk, or of the whole stream; `found` is its JSON or text."""

    def __init__(self, found: object) -> None:
        super().__init__()
        self.found = found


async def chunks(response: httpx2.Response) -> AsyncGenerator[Json, None]:
    """The objects of the stream, and `DONE` where the server says so. Raises NoStream and SentError.

    A stream is recognised by its bytes, not by its content type, which proxies get wrong. Events without data
    are signs of life.
    """
    body = response.aiter_bytes()
    start = await _start_of(body)
    if start.startswith(_BARE_ERROR):
        raise await _no_stream(start.removeprefix(_BARE_ERROR), body)
    streamed = "event-stream" in response.headers.get("content-type", "").lower()
    if not start.startswith(_FIELDS) and not (streamed and start[:1] not in {b"{", b"[", b"<"}):
        raise await _no_stream(start, body)
    cut = False

    async def whole() -> AsyncGenerator[bytes, None]:
        nonlocal cut
        yield start
        async for part in body:
            yield part
        cut = True
        yield b"\n\n"  # or an event whose blank line is missing would be lost

    # Its type and character set are always these, whatever the proxy says.
    as_events = httpx2.Response(
        200,
        headers={"Content-Type": "text/event-stream; charset=utf-8"},
        content=whole(),
        request=response.request,
    )
    events = aiter(httpx2.EventSource(as_events, max_event_size=None))
    async for event in events:
        if event.event == "error" and event.data.strip():
            raise SentError(parsed(event.data))
        try:
            found = _objects(event.data)
        except NoStream:
            if cut or event.event != "message":
                continue  # broken off inside an event, or an event of the server's own
            raise
        for chunk in found:
            yield chunk
            if chunk is DONE:
                await _to_the_end(events)
                return


def _objects(data: str) -> list[Json]:
    """The objects of one event: one, or one a line where a server leaves out the blank lines between."""
    data = data.strip()
    if data in {"", "[DONE]"}:
        return [DONE] if data else []
    try:
        chunk: object = json.loads(data)
    except (ValueError, RecursionError):
        lines = data.split("\n")
        if len(lines) == 1:
            raise NoStream(data) from None
        return [chunk for line in lines for chunk in _objects(line)]
    if not isinstance(chunk, dict):
        raise NoStream(data)
    reply = cast("Json", chunk)
    if is_error(reply):
        raise SentError(reply)
    return [reply]


async def _start_of(body: AsyncIterator[bytes]) -> bytes:
    start = b""
    async for part in body:
        start = (start + part).removeprefix(_BYTE_ORDER_MARK).lstrip()
        if len(start) >= _ENOUGH:
            break
    return start


async def _no_stream(start: bytes, body: AsyncIterator[bytes]) -> NoStream | SentError:
    read = [start]
    async for part in body:
        read.append(part)
        if sum(map(len, read)) > _LONGEST_BODY:
            break
    sent = b"".join(read).decode(errors="replace")
    found: object = parsed(sent)
    failed = isinstance(found, dict) and is_error(cast("Json", found))
    return SentError(cast("Json", found)) if failed else NoStream(sent)


async def _to_the_end(events: AsyncIterator[object]) -> None:
    """Read what ends a reply that is complete: the connection can only be used again after that."""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_LINGER):
            async for _ in events:
                pass
