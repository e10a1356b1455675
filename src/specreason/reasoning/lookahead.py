"""The small model runs ahead while its earlier steps are judged.

What is judged stays the same step after step; only the waiting overlaps. (Lookahead Reasoning, arXiv
2506.19830, also lets a drafter run ahead, but has the base model write its own version of every step.)

With several drafts of a step it is not known yet which will be kept. With `branches` the small model runs
ahead after each of them until the verdict is there, else after the favourite alone:

    step n, being judged      step n + 1
    draft 0 (favourite) ───── row 0 goes on
    draft 1 ───────────────── row 1   ┐ stopped when draft 0 is kept;
    draft 2 ───────────────── row 2   ┘ if draft 1 is, rows 0 and 2 are

After the others it is one step, and that is judged only once it is known to count: while a loaded base model
takes long over a verdict, it must not be asked about ever more that will be thrown away.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any

from specreason.reasoning.chain import Chain
from specreason.reasoning.schedule import Checked, Drafted, Schedule, Speculation, Verified


def lookahead(depth: int, *, branches: bool = False) -> Schedule:
    """Up to `depth` further steps are drafted and judged while the oldest one waits for its verdict."""

    async def ahead(
        speculation: Speculation, chain: Chain, *, hedge: bool = False
    ) -> AsyncGenerator[Drafted | Checked, None]:
        ways, kept = {0: _Scout(speculation, chain, row=0, room=depth + 1, more=1)}, 0
        try:
            while True:
                if hedge:
                    await speculation.hedge(chain)
                scout = ways[kept]
                pending = await scout.oldest()
                if pending is None:
                    return
                drafted = pending.drafted
                ways = scout.ways(drafted, depth) if branches else {drafted.favourite: scout}
                yield drafted
                checked = Checked(drafted, await pending.verifying)
                if checked.chosen is None:
                    await _stop(ways.values())  # before anyone is told: the rewrite begins at once
                    yield checked
                    return
                kept = checked.chosen
                chain = drafted.drafts[kept].after
                # All that was drafted after another one stands on what does not.
                await _stop(way for number, way in ways.items() if number != kept)
                if kept not in ways:
                    ways[kept] = _Scout(speculation, chain, row=0, room=depth, more=1)
                ways[kept].go_on()
                yield checked
        finally:
            await _stop(ways.values())

    return ahead


@dataclass(frozen=True, slots=True)
class _Pending:
    """Drafts that are being judged."""

    drafted: Drafted
    verifying: asyncio.Task[tuple[Verified, ...]]


class _Scout:
    """Drafts along the favourites after `chain`, as many steps as there is `room` for.

    `row`: which pens it writes with. `more`: steps that there is room for once it is told to go on. Without
    `judges` nothing is judged until then.
    """

    def __init__(
        self, speculation: Speculation, chain: Chain, *, row: int, room: int, more: int, judges: bool = True
    ) -> None:
        self._speculation = speculation
        self._chain = chain
        self._row = row
        self._room = asyncio.Semaphore(room)
        self._more = more
        self._judges = asyncio.Event()
        if judges:
            self._judges.set()
        self._found: asyncio.Queue[_Pending | Exception | None] = asyncio.Queue()
        self._judging: set[asyncio.Task[tuple[Verified, ...]]] = set()
        self._drafting = asyncio.create_task(self._draft())

    async def oldest(self) -> _Pending | None:
        """The next step along the way; None where drafting ends. What drafting raises is raised in turn."""
        found = await self._found.get()
        if isinstance(found, Exception):
            raise found
        return found

    def ways(self, drafted: Drafted, depth: int) -> "dict[int, _Scout]":
        """Who runs ahead after each draft: after the favourite this one, after the others new ones."""
        rows = (row for row in range(len(drafted.drafts)) if row != self._row)
        return {
            number: self
            if number == drafted.favourite
            else _Scout(self._speculation, draft.after, row=next(rows), room=1, more=depth, judges=False)
            for number, draft in enumerate(drafted.drafts)
        }

    def go_on(self) -> None:
        """The step before its oldest one is kept: there is room for more."""
        self._judges.set()
        for _ in range(self._more):
            self._room.release()
        self._more = 1

    async def stop(self) -> None:
        """Cancel what is being drafted and judged, and wait until the engines have been told."""
        running: list[asyncio.Task[Any]] = [self._drafting, *self._judging]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._speculation.hold(self._row)

    async def _draft(self) -> None:
        chain = self._chain
        try:
            while True:
                await self._room.acquire()
                drafted = await self._speculation.draft(chain, self._row)
                if drafted is None:
                    break
                verifying = asyncio.create_task(self._verified(chain, drafted))
                self._judging.add(verifying)
                self._found.put_nowait(_Pending(drafted, verifying))
                chain = drafted.drafts[drafted.favourite].after
        except Exception as error:  # whoever asks for the oldest step is told
            self._found.put_nowait(error)
        else:
            self._found.put_nowait(None)

    async def _verified(self, chain: Chain, drafted: Drafted) -> tuple[Verified, ...]:
        await self._judges.wait()
        return await self._speculation.verify(chain, drafted, _hold_nobody)


async def _stop(scouts: Iterable[_Scout]) -> None:
    for scout in scouts:
        await scout.stop()


async def _hold_nobody() -> None:
    """The small model writes on."""
