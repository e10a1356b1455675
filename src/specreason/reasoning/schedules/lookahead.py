"""The small model runs ahead while its earlier steps are judged.

What is judged stays the same step after step; only the waiting overlaps. (Lookahead Reasoning, arXiv
2506.19830, also lets a drafter run ahead, but has the base model write its own version of every step.)

With several drafts of a step it is not known yet which will be kept. With `branches` the small model runs
ahead after each of them until the verdict is there, else after the favourite alone:

    step n, being judged      step n + 1
    draft 0 (favourite) ───── lane 0 goes on
    draft 1 ───────────────── lane 1   ┐ stopped when draft 0 is kept;
    draft 2 ───────────────── lane 2   ┘ if draft 1 is, lanes 0 and 2 are

After the others it is one step, and that is judged only once it is known to count: while a loaded base model
takes long over a verdict, it must not be asked about ever more that will be thrown away.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any

from specreason.config import ReasoningSettings
from specreason.reasoning.chain import Chain
from specreason.reasoning.schedules.contract import Drafted, ScheduleSpec, Speculation, Verified


@dataclass(frozen=True, slots=True)
class Lookahead:
    """Up to `depth` further steps are drafted and judged while the oldest one waits for its verdict."""

    depth: int
    branches: bool = False

    async def __call__(
        self, speculation: Speculation, chain: Chain
    ) -> AsyncGenerator[Drafted | Verified, None]:
        """See `Schedule`."""
        ways, kept = {0: _Way(speculation, chain, lane=0, room=self.depth + 1, more=1)}, 0
        try:
            while True:
                await speculation.begin(chain)
                way = ways[kept]
                pending = await way.oldest()
                if pending is None:
                    return
                drafted = pending.drafted
                ways = way.split(drafted, self.depth) if self.branches else {drafted.favourite: way}
                yield drafted
                verified = await pending.verifying
                if verified.accepted is None:
                    await _stop(ways.values())  # before anyone knows: the rewrite begins at once
                    yield verified
                    return
                kept, chain = verified.which, verified.accepted.after
                # All that was drafted after another draft builds on what is not kept.
                await _stop(way for number, way in ways.items() if number != kept)
                if kept not in ways:
                    ways[kept] = _Way(speculation, chain, lane=0, room=self.depth, more=1)
                ways[kept].go_on()
                yield verified
        finally:
            await _stop(ways.values())


def _made(settings: ReasoningSettings, in_process: bool) -> Lookahead:
    # In a batch further drafts are cheap, on shared cores dear.
    branches = settings.drafts_per_step > 1 and not in_process
    return Lookahead(max(1, settings.lookahead), branches)


SCHEDULE = ScheduleSpec("lookahead", _made)


@dataclass(frozen=True, slots=True)
class _Pending:
    """Drafts that are being judged."""

    drafted: Drafted
    verifying: asyncio.Task[Verified]


class _Way:
    """Drafts along the favourites after `chain`, as many steps as there is `room` for.

    `lane`: where it writes. `more`: steps that there is room for once it may go on. Without
    `judges` nothing is judged until then.
    """

    def __init__(
        self, speculation: Speculation, chain: Chain, *, lane: int, room: int, more: int, judges: bool = True
    ) -> None:
        self._speculation = speculation
        self._chain = chain
        self._lane = lane
        self._room = asyncio.Semaphore(room)
        self._more = more
        self._judges = asyncio.Event()
        if judges:
            self._judges.set()
        self._found: asyncio.Queue[_Pending | Exception | None] = asyncio.Queue()
        self._judging: set[asyncio.Task[Verified]] = set()
        self._drafting = asyncio.create_task(self._draft())

    async def oldest(self) -> _Pending | None:
        """The next step on this way; None where drafting ends. What drafting raises is raised in turn."""
        found = await self._found.get()
        if isinstance(found, Exception):
            raise found
        return found

    def split(self, drafted: Drafted, depth: int) -> "dict[int, _Way]":
        """The way after each draft: after the favourite this one, after the others new ones."""
        lanes = (lane for lane in range(len(drafted.drafts)) if lane != self._lane)
        return {
            number: self
            if number == drafted.favourite
            else _Way(self._speculation, draft.after, lane=next(lanes), room=1, more=depth, judges=False)
            for number, draft in enumerate(drafted.drafts)
        }

    def go_on(self) -> None:
        """The step before its oldest one is kept: there is room for more."""
        self._judges.set()
        for _ in range(self._more):
            self._room.release()
        self._more = 1

    async def stop(self) -> None:
        """Cancel what is being drafted and judged, and wait until the engines have stopped."""
        running: list[asyncio.Task[Any]] = [self._drafting, *self._judging]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._speculation.pause(self._lane)

    async def _draft(self) -> None:
        chain = self._chain
        try:
            while True:
                await self._room.acquire()
                drafted = await self._speculation.draft(chain, self._lane)
                if drafted is None:
                    break
                verifying = asyncio.create_task(self._verified(chain, drafted))
                self._judging.add(verifying)
                self._found.put_nowait(_Pending(drafted, verifying))
                chain = drafted.drafts[drafted.favourite].after
        except Exception as error:  # whoever asks for the oldest step gets it
            self._found.put_nowait(error)
        else:
            self._found.put_nowait(None)

    async def _verified(self, chain: Chain, drafted: Drafted) -> Verified:
        await self._judges.wait()
        return await self._speculation.verify(chain, drafted, _pause_nobody)


async def _stop(ways: Iterable[_Way]) -> None:
    for way in ways:
        await way.stop()


async def _pause_nobody() -> None:
    """The small model writes on."""
