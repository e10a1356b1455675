"""The one stream of events. Whoever emits goes on once the event was taken: a slow reader slows the run."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from typing import Any

from specreason.reasoning.events import CallEnded, Event
from specreason.reasoning.writer import stopwatch


class Emitter:
    """Events of one run. `now`: seconds since it began; `listeners` get each event before its reader does."""

    def __init__(self) -> None:
        self.now = stopwatch()
        self.listeners: list[Callable[[Event], None]] = []
        self._calls: list[CallEnded] = []
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()

    def call_ended(self, call: CallEnded) -> None:
        """Note a call that is over; it is emitted before the next event."""
        self._calls.append(call)

    async def emit(self, *events: Event) -> None:
        """Hand over the calls that are over, then `events`; returns when all are taken."""
        at = events[0].at if events else self.now()
        calls = [replace(call, at=at) for call in self._calls]
        self._calls.clear()
        for event in (*calls, *events):
            for listener in self.listeners:
                listener(event)
            self._events.put_nowait(event)
            await self._events.join()

    async def events_of(self, work: Coroutine[Any, Any, None]) -> AsyncGenerator[Event, None]:
        """What `work` emits while it runs; then its error is raised, if it failed. Closing cancels it."""
        working = asyncio.create_task(work)
        working.add_done_callback(lambda _: self._events.put_nowait(None))
        try:
            while (event := await self._events.get()) is not None:
                yield event
                self._events.task_done()
            await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
