"""Connections that stall: no whole request arrives, or the client reads nothing. They are closed.

Uvicorn only closes those that are idle after a response; for a first head, a body and a client that reads
nothing it waits without end.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Never, Protocol

from starlette.types import Message, Receive, Scope

from specreason.server.errors import Refused
from specreason.server.shutdown import Shutdown
from specreason.server.streaming import ClientGone

_LOOK_EVERY_S = 0.1


class Cycle(Protocol):
    """One request and its response, as uvicorn keeps it."""

    response_complete: bool


class Connection(Protocol):
    """What uvicorn's HTTP protocols have in common."""

    transport: asyncio.Transport
    scope: Scope
    cycle: Cycle | None
    timeout_keep_alive_task: asyncio.TimerHandle | None


async def watch(connections: Collection[Connection], *, head_s: float, linger_s: float) -> Never:
    """Close connections without a whole request head for `head_s`; abort those closing for `linger_s`.

    A closed connection stays until the client has read what was written to it.
    """
    clock = asyncio.get_running_loop().time
    since: dict[tuple[Connection, object, bool], float] = {}
    while True:
        now = clock()
        since = {stuck: since.get(stuck, now) for stuck in _stuck(connections)}
        for (connection, _, closing), began in since.items():
            if closing and now - began > linger_s:
                connection.transport.abort()
            elif not closing and now - began > head_s:
                connection.transport.close()
        await asyncio.sleep(_LOOK_EVERY_S)


def _stuck(connections: Iterable[Connection]) -> Iterable[tuple[Connection, object, bool]]:
    """Those that wait for a head, with the request before it, and those that are closing."""
    for connection in connections:
        cycle, closing = connection.cycle, connection.transport.is_closing()
        between = cycle is None or cycle.response_complete
        # What comes in ends the timer of an idle connection; it stays off until the head is whole.
        if closing or (between and connection.timeout_keep_alive_task is None):
            yield connection, cycle, closing


async def cut(connections: Iterable[Connection], scope: Scope, receive: Receive) -> None:
    """End the connection of the request `scope`, and drop what its client has not taken."""
    for connection in connections:
        if connection.scope is scope:
            connection.transport.abort()
            while (await receive())["type"] != "http.disconnect":
                pass
            return


def arriving(receive: Receive, limit_s: float, shutdown: Shutdown) -> Receive:
    """`receive` that waits at most `limit_s` for the whole body, and not at all once the server stops.

    It raises Refused (408, 503), and ClientGone if the client leaves before the body is whole.
    """
    whole = False
    until = asyncio.get_running_loop().time() + limit_s

    async def received() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with shutdown.until_stop(until - asyncio.get_running_loop().time()):
                message = await receive()
        except TimeoutError:
            shutdown.check()
            raise Refused(
                f"the body did not arrive within {limit_s:g} seconds (setting 'server.body_timeout')",
                status=408,
                code="body_timeout",
                headers={"Connection": "close"},
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        whole = not message.get("more_body", False)
        return message

    return received
