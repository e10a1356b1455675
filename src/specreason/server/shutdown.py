"""Graceful shutdown: running requests may finish until a deadline, then they are cancelled."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

from specreason.server.errors import TRY_AGAIN_S, Refused


class Shutdown:
    """Whether the server is stopping. `cut` is set when running requests are cancelled."""

    def __init__(self) -> None:
        self.started = False
        self.cut = asyncio.Event()
        self._waits: set[asyncio.Timeout] = set()

    def start(self, deadline_s: float) -> None:
        """Refuse new requests from now on, half-sent ones too; cancel running ones after `deadline_s`."""
        if not self.started:
            self.started = True
            loop = asyncio.get_running_loop()
            loop.call_later(deadline_s, self.cut.set)
            for wait in self._waits:
                wait.reschedule(loop.time())

    @asynccontextmanager
    async def until_stop(self, limit_s: float) -> AsyncGenerator[None]:
        """`asyncio.timeout(limit_s)` that expires at once when the server stops."""
        async with asyncio.timeout(0 if self.started else limit_s) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)

    def check(self) -> None:
        """Raise Refused (503) if the server stops."""
        if self.started:
            raise stopping()


def stopping() -> Refused:
    """The error for requests that are not served, or cancelled, because the server stops."""
    return Refused(
        "the server is stopping; try again",
        status=503,
        code="server_stopping",
        headers={"Retry-After": str(TRY_AGAIN_S)},
    )


@contextmanager
def signals(stop: Callable[[], None]) -> Generator[None]:
    """SIGINT and SIGTERM call `stop`, and do nothing else."""
    loop = asyncio.get_running_loop()
    caught: list[signal.Signals] = []
    # Outside the main thread, and on Windows, the caller has to stop the server.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        for wanted in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(wanted, stop)
            caught.append(wanted)
    try:
        yield
    finally:
        for wanted in caught:
            loop.remove_signal_handler(wanted)
