"""An event loop that skips the waiting: emulated seconds pass as fast as the processor can follow.

Whenever nothing is left to do but wait, the loop's clock jumps to the next timer. So a run of minutes takes
seconds, its times are the same on a busy machine, and the processor's own work costs nothing on that clock:
measure overheads in real time, schedules on this one.

Everything that takes part must run in this one loop, reach the servers by a `DirectTransport`, and read the
time from `loop.time()`. What waits for a socket, a thread or another process would be jumped over.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _SkippingSelector(selectors.DefaultSelector):
    """Never waits for a timer: adds the wait to `now` instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See selectors."""
        if timeout is None:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self.now += max(timeout, 0.0)
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """See the module; made by `run_skipping`."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Emulated seconds since the loop was made."""
        return self._skipping.now

    def spend(self, seconds: float) -> None:
        """Let time pass in which the loop does nothing else, as a processor at work would."""
        self._skipping.now += seconds


def run_skipping(main: Coroutine[Any, Any, T]) -> T:
    """What `main` returns, run like `asyncio.run` but without waiting."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(main)
