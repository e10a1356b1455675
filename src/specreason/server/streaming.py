"""Streaming: a client that disconnects cancels the work; heartbeats keep silent streams alive."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from specreason.server.shutdown import Shutdown, stopping

T = TypeVar("T")

HEARTBEAT = b": heartbeat\n\n"
_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would buffer the stream
}


class ClientGone(Exception):
    """The client closed its connection."""


async def while_connected(work: Coroutine[Any, Any, T], receive: Receive, shutdown: Shutdown) -> T:
    """What `work` returns. Cancelled when the client leaves (ClientGone) or the server stops (Refused)."""
    task, gone, cut = (
        asyncio.create_task(work),
        asyncio.create_task(_left(receive)),
        asyncio.create_task(shutdown.cut.wait()),
    )
    try:
        await asyncio.wait({task, gone, cut}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return done_by(task)
        if gone.done():
            raise ClientGone
        raise stopping()
    finally:
        await _stopped(task, gone, cut)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between heartbeats, and until a client that reads nothing is disconnected."""

    heartbeat_s: float
    client_timeout_s: float


class EventStream(Response):
    """Server-sent events from `frames`, an async generator of whole frames.

    The response starts with the first frame or heartbeat, so that an error before it still has a status of
    its own. A later error becomes a frame (`failure`). `headers` are read when the response starts.
    """

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        *,
        failure: Callable[[Exception], bytes],
        headers: Callable[[], Mapping[str, str]],
        shutdown: Shutdown,
        pace: Pace,
    ) -> None:
        super().__init__()
        self._frames = frames
        self._failure = failure
        self._late_headers = headers
        self._shutdown = shutdown
        self._pace = pace
        self._started = False
        self._last_sent = 0.0
        self._sending = asyncio.Lock()  # a heartbeat must not cut into a frame

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        sending, gone, cut = (
            asyncio.create_task(self._send_all(send)),
            asyncio.create_task(_left(receive)),
            asyncio.create_task(self._shutdown.cut.wait()),
        )
        self._last_sent = asyncio.get_running_loop().time()
        try:
            while not (sending.done() or gone.done() or cut.done()):
                await asyncio.wait(
                    {sending, gone, cut}, timeout=self._until_heartbeat(), return_when=asyncio.FIRST_COMPLETED
                )
                if not sending.done() and self._until_heartbeat() <= 0:
                    await self._send(send, HEARTBEAT)
            if cut.done() and not sending.done():
                await _stopped(sending)
                await self._fail(stopping(), send)
            elif sending.cancelled():
                await self._fail(TimeoutError(), send)
            elif sending.done():
                sending.result()
            else:
                raise ClientGone
        finally:
            await _stopped(sending, gone, cut)
            await self._frames.aclose()

    async def _send_all(self, send: Send) -> None:
        try:
            async with aclosing(self._frames) as frames:
                async for frame in frames:
                    await self._send(send, frame)
        except ClientGone:
            raise
        except Exception as error:  # whatever it is, the client must not be left waiting
            await self._fail(error, send)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _fail(self, error: Exception, send: Send) -> None:
        if not self._started:
            raise error
        with suppress(ClientGone):
            await self._send(send, self._failure(error))
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, frame: bytes) -> None:
        try:
            async with asyncio.timeout(self._pace.client_timeout_s), self._sending:
                if not self._started:
                    self._started = True
                    headers = {**_HEADERS, **self._late_headers()}
                    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
                    await send({"type": "http.response.start", "status": 200, "headers": raw})
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        except TimeoutError:
            raise ClientGone from None
        self._last_sent = asyncio.get_running_loop().time()

    def _until_heartbeat(self) -> float:
        return self._last_sent + self._pace.heartbeat_s - asyncio.get_running_loop().time()


async def _left(receive: Receive) -> None:
    """Return when the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def done_by(task: asyncio.Task[T]) -> T:
    """What a finished task returned or raised.

    Only a request's time limit cancels such a task from within; if that happens while the task passes on an
    event, it looks like a cancellation of ours, and must not be taken for one.
    """
    if task.cancelled():
        raise TimeoutError
    return task.result()


async def _stopped(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
