"""The small model runs ahead while its earlier steps are judged.

What is judged stays the same step after step; only the waiting overlaps. (Lookahead Reasoning, arXiv
2506.19830, also lets a drafter run ahead, but has the base model write its own version of every step.)
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from specreason.reasoning.chain import Chain
from specreason.reasoning.schedule import Checked, Drafted, Schedule, Speculation, Verified


def lookahead(depth: int) -> Schedule:
    """Up to `depth` further steps are drafted and judged while the oldest one waits for its verdict."""

    async def ahead(
        speculation: Speculation, chain: Chain, *, hedge: bool = False
    ) -> AsyncGenerator[Drafted | Checked, None]:
        scout = _Scout(speculation, chain, depth)
        try:
            while True:
                if hedge:
                    await speculation.hedge(chain)
                pending = await scout.oldest()
                if pending is None:
                    return
                yield pending.drafted
                checked = Checked(pending.drafted, await pending.verifying)
                chosen = checked.chosen
                if chosen is None:
                    await scout.stop()  # before anyone is told: the rewrite begins at once
                    yield checked
                    return
                chain = pending.drafted.drafts[chosen].after
                if chosen == pending.drafted.favourite:
                    scout.go_on()
                else:  # all that was drafted after it stands on what does not
                    await scout.stop()
                    scout = _Scout(speculation, chain, depth)
                yield checked
        finally:
            await scout.stop()

    return ahead


@dataclass(frozen=True, slots=True)
class _Pending:
    """Drafts that are being judged."""

    drafted: Drafted
    verifying: asyncio.Task[tuple[Verified, ...]]


class _Scout:
    """Drafts along the favourites, up to `depth` steps beyond the oldest one that is not decided.

    Starts when the oldest is first asked for.
    """

    def __init__(self, speculation: Speculation, chain: Chain, depth: int) -> None:
        self._speculation = speculation
        self._chain = chain
        self._room = asyncio.Semaphore(depth + 1)
        self._found: asyncio.Queue[_Pending | Exception | None] = asyncio.Queue()
        self._drafting: asyncio.Task[None] | None = None
        self._judging: deque[asyncio.Task[tuple[Verified, ...]]] = deque()

    async def oldest(self) -> _Pending | None:
        """The next step along the way; None where drafting ends. What drafting raises is raised in turn."""
        if self._drafting is None:
            self._drafting = asyncio.create_task(self._draft())
        found = await self._found.get()
        if isinstance(found, Exception):
            raise found
        return found

    def go_on(self) -> None:
        """The oldest step stands: there is room for one more."""
        self._judging.popleft()
        self._room.release()

    async def stop(self) -> None:
        """Cancel what is being drafted and judged, and wait until the engines have been told."""
        running: list[asyncio.Task[Any]] = [*self._judging]
        if self._drafting is not None:
            running.append(self._drafting)
        self._judging.clear()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _draft(self) -> None:
        chain = self._chain
        try:
            while True:
                await self._room.acquire()
                drafted = await self._speculation.draft(chain)
                if drafted is None:
                    break
                verifying = asyncio.create_task(self._speculation.verify(chain, drafted, _hold_nobody))
                self._judging.append(verifying)
                self._found.put_nowait(_Pending(drafted, verifying))
                chain = drafted.drafts[drafted.favourite].after
        except Exception as error:  # whoever asks for the oldest step is told
            self._found.put_nowait(error)
        else:
            self._found.put_nowait(None)


async def _hold_nobody() -> None:
    """The small model writes on."""
