"""The clock of the emulated hardware: passes at absolute times, shared by all sequences of a model.

    arrival ── overhead ──> queue ──> | pass | pass | pass | ... each ends one token for every sequence in it
                                      start = end of the pass before, whenever the event loop woke up

Because a pass starts where the one before ended on the emulated clock, late wake-ups do not add up.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from specreason.emulate.prefix_cache import PrefixCache
from specreason.emulate.profiles import Profile, Timing
from specreason.emulate.speech import Role

_MOST_RUNNING = 256  # sequences; vLLM's default
_CHUNK = 2048  # new prompt tokens a pass, so that a long prompt does not hold up the others; vLLM's default
_CACHE = 2**20  # tokens; more than a benchmark's problems need, so that nothing is ever evicted in one


@dataclass(eq=False, slots=True)
class Sequence:
    """One sequence at work. `on_token` is called at the end of each pass that gave it a token."""

    to_compute: int  # prompt tokens
    to_decode: int
    on_token: Callable[[], None]


class Worker:
    """One emulated model's compute. `scale` stretches every duration; `block` is the cache's."""

    def __init__(self, timing: Timing, scale: float, block: int) -> None:
        self.timing = timing
        self.cache = PrefixCache(_CACHE, block)
        self.passes = 0
        self.tokens = 0
        self._scale = scale
        self._running: dict[Sequence, None] = {}
        self._waiting: deque[Sequence] = deque()
        self._arriving = 0
        self._work: asyncio.Task[None] | None = None
        self._alarm: asyncio.Future[None] | None = None
        self._other: Worker | None = None
        self._slower = 1.0

    def share_with(self, other: "Worker", slower: float) -> None:
        """Work on the same hardware as `other`: passes take `slower` times as long while both are busy."""
        self._other, self._slower = other, slower

    @property
    def busy(self) -> bool:
        """Whether a pass is under way."""
        return self._work is not None and not self._work.done()

    @property
    def running(self) -> int:
        """Sequences in the current batch."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Sequences that are not in the batch yet."""
        return len(self._waiting) + self._arriving

    async def admitted(self, arrived: float) -> float:
        """Wait until a request that arrived at `arrived` may join the queue; that time."""
        ready = arrived + self.timing.overhead_s * self._scale
        self._arriving += 1
        try:
            await asyncio.sleep(ready - asyncio.get_running_loop().time())
        finally:
            self._arriving -= 1
        return ready

    def join(self, sequence: Sequence, ready: float) -> None:
        """Queue `sequence`, which was ready at `ready`."""
        self._waiting.append(sequence)
        if not self.busy:
            self._work = asyncio.get_running_loop().create_task(self._passes(ready))

    def leave(self, sequence: Sequence) -> None:
        """Take `sequence` out at once; a pass in which nobody is left ends with it. Safe to call twice."""
        if sequence in self._waiting:
            self._waiting.remove(sequence)
        if sequence not in self._running:
            return
        del self._running[sequence]
        if not self._running and self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    async def _passes(self, ready: float) -> None:
        now = asyncio.get_running_loop().time
        end = ready
        while self._waiting or self._running:
            while self._waiting and len(self._running) < _MOST_RUNNING:
                self._running[self._waiting.popleft()] = None
            plan = self._plan()
            pass_s = self.timing.pass_s(len(plan), sum(plan.values()))
            end += pass_s * self._scale * (self._slower if self._other and self._other.busy else 1.0)
            await self._until(end)
            if not self._running:
                end = now()  # all have left
            self._tell(plan)

    def _plan(self) -> dict[Sequence, int]:
        """Who takes part in the next pass, and how many new prompt tokens each brings."""
        plan: dict[Sequence, int] = {}
        room = _CHUNK
        for sequence in self._running:
            tokens = min(sequence.to_compute, room)
            if tokens or not sequence.to_compute:
                plan[sequence] = tokens
            room -= tokens
        return plan

    def _tell(self, plan: dict[Sequence, int]) -> None:
        self.passes += 1
        for sequence, computed in plan.items():
            if sequence not in self._running:
                continue
            sequence.to_compute -= computed
            if sequence.to_compute:
                continue
            sequence.to_decode -= 1
            self.tokens += 1
            if not sequence.to_decode:
                del self._running[sequence]
            sequence.on_token()

    async def _until(self, time: float) -> None:
        """Sleep until `time`, or until the last sequence leaves."""
        loop = asyncio.get_running_loop()
        alarm = self._alarm = loop.create_future()
        timer = loop.call_at(time, _ring, alarm)
        try:
            await alarm
        finally:
            timer.cancel()


class Hardware:
    """What a pair runs on. With `shared`, the two models slow each other down while both work."""

    def __init__(self, profile: Profile, *, scale: float = 1.0, shared: bool = True) -> None:
        self.profile = profile
        self.workers: dict[Role, Worker] = {
            "base": Worker(profile.base, scale, profile.block),
            "small": Worker(profile.small, scale, profile.block),
        }
        if shared:
            base, small = self.workers["base"], self.workers["small"]
            base.share_with(small, profile.beside)
            small.share_with(base, profile.beside)


def _ring(alarm: asyncio.Future[None]) -> None:
    if not alarm.done():
        alarm.set_result(None)
