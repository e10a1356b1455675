"""The end of the server: running requests may finish until a deadline, then they are cut."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

from specreason.server.errors import TRY_AGAIN_S, Refused


class Shutdown:
    """Told once that the server stops; everyone who serves looks here."""

    def __init__(self) -> None:
        self.begun = False
        self.cut = asyncio.Event()
        self._waits: set[asyncio.Timeout] = set()

    def begin(self, deadline_s: float) -> None:
        """New requests are refused from now on, half-sent ones too; what runs is cut after `deadline_s`."""
        if not self.begun:
            self.begun = True
            loop = asyncio.get_running_loop()
            loop.call_later(deadline_s, self.cut.set)
            for wait in self._waits:
                wait.reschedule(loop.time())

    @asynccontextmanager
    async def patience(self, limit_s: float) -> AsyncGenerator[None]:
        """`asyncio.timeout`, which ends at once when the server stops. What is there already is no wait."""
        async with asyncio.timeout(0 if self.begun else limit_s) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)

    def check(self) -> None:
        """Raise Refused (503) if the server stops."""
        if self.begun:
            raise stopping()


def stopping() -> Refused:
    """What clients are told whose request is not served, or cut, because the server stops."""
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
    # Elsewhere than in the main thread, and on Windows, whoever runs us has to stop us.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        for wanted in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(wanted, stop)
            caught.append(wanted)
    try:
        yield
    finally:
        for wanted in caught:
            loop.remove_signal_handler(wanted)
