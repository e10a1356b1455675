"""One request being solved: the events of its choices, in the order in which they happen."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from specreason.engines.waiting import Stretch, engine_time
from specreason.reasoning.events import Event
from specreason.server.account import Account
from specreason.server.admission import Admission
from specreason.server.request import SolveRequest
from specreason.server.streaming import done_by
from specreason.session import SpecReason

T = TypeVar("T")


class Watcher(Protocol):
    """Counts, times or traces what happens in one request."""

    def take(self, choice: int, event: Event) -> None:
        """Take one event of the choice with that number."""
        ...


@dataclass(frozen=True, slots=True)
class ChoiceEvent:
    """An event of a choice."""

    account: Account
    event: Event


class Solving:
    """One request being solved. `began`: when it came in (time.perf_counter).

    Each moment of it belongs to one of three, however many choices there are: to the engines while at least
    one choice waits for one; to the queue while no choice has a slot and one waits for it; else to us.
    """

    def __init__(
        self,
        session: SpecReason,
        admission: Admission,
        asked: SolveRequest,
        *,
        key: str,
        watchers: Sequence[Watcher],
        began: float,
    ) -> None:
        self.asked = asked
        self.accounts = [Account(index, include_steps=asked.include_steps) for index in range(asked.choices)]
        self._session = session
        self._admission = admission
        self._key = key
        self._watchers = watchers
        self._began = began
        self._here = Stretch()  # some choice waits for a slot or has one
        self._served = Stretch()  # some choice has a slot
        self._engines = Stretch()

    @property
    def total_s(self) -> float:
        """Seconds since the request came in."""
        return time.perf_counter() - self._began

    @property
    def queue_s(self) -> float:
        """Seconds in which the request waited for a slot, and none of its choices had one."""
        return max(0.0, self._here.seconds - self._served.seconds)

    @property
    def overhead_s(self) -> float:
        """Seconds that were ours: neither in the queue nor waiting for an engine."""
        return max(0.0, self.total_s - self.queue_s - self._engines.seconds)

    async def events(self) -> AsyncGenerator[ChoiceEvent, None]:
        """Everything that happens, from the queue to the last answer. Raises Refused, EngineError."""
        engine_time.set(self._engines)
        async with self._admission.entered(self._key, len(self.accounts)):
            choices = [self._choice(account) for account in self.accounts]
            async with aclosing(merged(choices)) as events:
                async for event in events:
                    yield event

    async def _choice(self, account: Account) -> AsyncGenerator[ChoiceEvent, None]:
        asked = self.asked
        async with AsyncExitStack() as stack:
            stack.enter_context(self._here)
            await stack.enter_async_context(self._admission.slot())
            stack.enter_context(self._served)
            await stack.enter_async_context(asyncio.timeout(self._session.settings.server.request_timeout))
            stream = self._session.stream(
                asked.messages,
                reasoning=asked.reasoning,
                policy=asked.policy,
                sampling=asked.sampling_of(account.index),
                options=asked.options,
            )
            events = await stack.enter_async_context(aclosing(stream))
            async for event in events:
                account.take(event)
                for watcher in self._watchers:
                    watcher.take(account.index, event)
                yield ChoiceEvent(account, event)


async def merged(sources: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """What all `sources` give, as it comes. The first error of one of them ends all."""
    if len(sources) == 1:  # the usual case needs no tasks
        async with aclosing(sources[0]) as only:
            async for item in only:
                yield item
        return
    ready: asyncio.Queue[T] = asyncio.Queue(maxsize=len(sources))

    async def pump(source: AsyncGenerator[T, None]) -> None:
        async with aclosing(source) as items:
            async for item in items:
                await ready.put(item)

    pumps: set[asyncio.Task[Any]] = {asyncio.create_task(pump(source)) for source in sources}
    taken: asyncio.Task[T] | None = None
    try:
        running = set(pumps)
        while running or not ready.empty():
            taken = asyncio.create_task(ready.get())
            done, _ = await asyncio.wait({taken, *running}, return_when=asyncio.FIRST_COMPLETED)
            if taken in done:
                yield taken.result()
            else:
                taken.cancel()
            for finished in done & running:
                done_by(finished)
            running -= done
    finally:
        leftovers: list[asyncio.Task[Any]] = [*pumps, *([taken] if taken is not None else [])]
        for task in leftovers:
            task.cancel()
        await asyncio.gather(*leftovers, return_exceptions=True)
