"""From an HTTP client to an emulated server without sockets: a function call in one event loop.

httpx2's own transport for ASGI applications gives a reply only when it is whole; a stream has to come piece
by piece, and leaving it has to reach the server.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import httpx2

Event = MutableMapping[str, Any]
App = Callable[[Event, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Awaitable[None]]


class DirectTransport(httpx2.AsyncBaseTransport):
    """Gives every request to `app`. For `httpx2.AsyncClient(transport=...)` and `engines.connect.connect`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See httpx2."""
        call = _Call(await request.aread())
        call.task = asyncio.create_task(call.run(self._app, _scope(request)))
        try:
            head = await call.head
        except BaseException:
            await call.aclose()
            raise
        return httpx2.Response(head["status"], headers=head.get("headers") or [], stream=call)


class _Call(httpx2.AsyncByteStream):
    """One request under way, and the stream of its reply's body."""

    def __init__(self, body: bytes) -> None:
        self.head: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self._body: bytes | None = body
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._left = asyncio.Event()

    async def run(self, app: App, scope: Event) -> None:
        try:
            await app(scope, self._receive, self._send)
        except Exception as error:
            if self.head.done():
                raise
            self.head.set_exception(error)
        finally:
            self._parts.put_nowait(None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._received()

    async def aclose(self) -> None:
        """The client leaves; return when the server has noticed."""
        self._left.set()
        if self.task is not None:
            with suppress(asyncio.CancelledError):
                await self.task

    async def _received(self) -> AsyncGenerator[bytes, None]:
        while (part := await self._parts.get()) is not None:
            yield part
        if self.task is not None:
            await self.task

    async def _receive(self) -> Event:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Event) -> None:
        if message["type"] == "http.response.start":
            self.head.set_result(message)
        elif message["type"] == "http.response.body" and message.get("body"):
            self._parts.put_nowait(message["body"])


def _scope(request: httpx2.Request) -> Event:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 0),
        "root_path": "",
    }
