"""The one stream of events. Whoever emits goes on once the event was taken: a slow reader slows the run."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from specreason.reasoning.events import CallEnded, Event
from specreason.reasoning.writer import stopwatch


class Emitter:
    """Events of one run. `now`: seconds since it began; `listeners` get each event before its reader does."""

    def __init__(self) -> None:
        self.now = stopwatch()
        self.listeners: list[Callable[[Event], None]] = []
        self._pending: list[Event] = []
        self._batches: asyncio.Queue[Sequence[Event]] = asyncio.Queue()

    def call_ended(self, call: CallEnded) -> None:
        """Note a call that is over now."""
        self.note(replace(call, at=self.now()))

    def note(self, *events: Event) -> None:
        """Hand these over together with the next event that is emitted, and before it."""
        self._pending += events

    async def emit(self, *events: Event) -> None:
        """Hand over what was noted, then `events`; returns when all are taken."""
        batch = [*self._pending, *events]
        self._pending.clear()
        if batch:
            for event in batch:
                for listener in self.listeners:
                    listener(event)
            self._batches.put_nowait(batch)
            await self._batches.join()

    async def events_of(self, work: Coroutine[Any, Any, None]) -> AsyncGenerator[Event, None]:
        """What `work` emits while it runs; then its error is raised, if it failed. Closing cancels it."""
        working = asyncio.create_task(work)
        working.add_done_callback(lambda _: self._batches.put_nowait(()))
        try:
            while batch := await self._batches.get():
                for event in batch:
                    yield event
                self._batches.task_done()
            await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
