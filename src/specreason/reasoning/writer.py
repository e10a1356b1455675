"""One model's writer: steps taken one by one from a single open stream.

A model's natural state is writing. The stream stays open for as long as the chain grows by exactly what the
model writes; when the chain goes another way, or another model has to work, the stream is closed, which
stops the model server's work, and the next step opens a new one on the cached prefix.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from specreason.config.scheme import Role
from specreason.engines.protocol import Engine, Generation, Sampling
from specreason.errors import EngineUnavailable
from specreason.reasoning.calls import call_ended
from specreason.reasoning.chain import Chain
from specreason.reasoning.events import CallEnded
from specreason.reasoning.records import Phase
from specreason.reasoning.steps import Step, StepSplitter

SEEDS = 10_000  # of one writer: more than a conversation opens streams


@dataclass(frozen=True, slots=True)
class StepShape:
    """Where steps end: the delimiter, what closes the thinking block (None without one), the cap (tokens)."""

    delimiter: str
    think_close: str | None
    max_tokens: int


class Writer:
    """Writes steps with `engine`. `on_call` gets every call when it is over.

    `number`: of several writers of one model for one conversation; each draws with seeds of its own.
    """

    def __init__(
        self,
        *,
        role: Role,
        engine: Engine,
        shape: StepShape,
        sampling: Sampling,
        session: str,
        on_call: Callable[[CallEnded], None],
        number: int = 0,
    ) -> None:
        self.role: Role = role
        self.engine = engine
        self._shape = shape
        self._sampling = sampling
        self._session = session if number == 0 else f"{session}/{number}"  # a cache slot of its own
        self._aside = f"{session}/{number + 1}"  # for what is started beside other work of the same model
        self._on_call = on_call
        self._opened = number * SEEDS
        self._stream: Generation | None = None
        self._phase: Phase = "draft"
        self._splitter = StepSplitter(shape.delimiter, shape.think_close, shape.max_tokens)
        self._ready: deque[Step] = deque()
        self._last: Step | None = None
        self._delivered = 0
        self._started: tuple[Chain, Phase, asyncio.Task[tuple[Step, float]]] | None = None

    def draw_from(self, number: int) -> None:
        """Draw with the seeds from this number on."""
        self._opened = number

    async def next_step(self, chain: Chain, phase: Phase, max_tokens: int) -> tuple[Step, float]:
        """The model's next step after `chain`, and the seconds waited for it.

        `max_tokens` bounds a newly opened stream. A stream that breaks in the middle of a step is opened once
        more from the last kept step; raises EngineError if that fails too.
        """
        if self._started is not None:
            after, started_phase, writing = self._started
            if after is chain and started_phase == phase:
                self._started = None
                return await self._delivery(*await writing)
            await self.pause()
        return await self._delivery(*await self._next_or_again(chain, phase, max_tokens))

    async def begin(self, chain: Chain, phase: Phase, max_tokens: int) -> None:
        """Write the step after `chain` already now, for a `next_step` that may come, or `pause`.

        Meanwhile the model scores, so this takes a cache slot besides: only here, since a slot that is new
        to the chain has to read it.
        """
        await self.pause()
        writing = asyncio.create_task(self._next_or_again(chain, phase, max_tokens, self._aside))
        self._started = (chain, phase, writing)

    async def _next_or_again(
        self, chain: Chain, phase: Phase, max_tokens: int, session: str | None = None
    ) -> tuple[Step, float]:
        session = session or self._session
        try:
            return await self._next(chain, phase, max_tokens, session)
        except EngineUnavailable:
            if not self._broke_off():
                raise
            await self._close()
            return await self._next(chain, phase, max_tokens, session)

    async def pause(self) -> None:
        """Stop writing: close the stream if one is open. The model's cache keeps what it has written."""
        if self._started is not None:
            writing, self._started = self._started[2], None
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        await self._close()

    async def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        self._ready.clear()
        await stream.aclose()
        self._on_call(
            call_ended(
                self.role,
                self._phase,
                stream.usage,
                stream.waited_s,
                stream.finish or "cancelled",
                delivered=self._delivered,
            )
        )

    async def _next(self, chain: Chain, phase: Phase, max_tokens: int, session: str) -> tuple[Step, float]:
        stream = await self._stream_at(chain, phase, max_tokens, session)
        waited = stream.waited_s
        while not self._ready:
            piece = await anext(stream, None)
            if piece is not None:
                self._ready += self._splitter.feed(piece)
            else:
                end = "length" if stream.finish == "length" else "stop"
                self._ready.append(self._splitter.finish(end) or Step("", (), 0, (), end))
        step = self._ready.popleft()
        self._last = step
        return step, stream.waited_s - waited

    async def _delivery(self, step: Step, seconds: float) -> tuple[Step, float]:
        """Count the step as used; close a stream that has no more to give."""
        self._delivered += step.tokens
        over = self._stream is not None and self._stream.finish is not None and not self._ready
        if over or step.end in {"stop", "think_close"}:
            await self._close()
        return step, seconds

    async def _stream_at(self, chain: Chain, phase: Phase, max_tokens: int, session: str) -> Generation:
        goes_on = self._stream is not None and chain.last is self._last and phase == self._phase
        if not goes_on:
            await self._close()
            self._phase, self._last, self._delivered = phase, chain.last, 0
            shape = self._shape
            self._splitter = StepSplitter(shape.delimiter, shape.think_close, shape.max_tokens)
            self._stream = self.engine.generate(
                chain.prompts[self.role],
                sampling=self._next_sampling(),
                max_tokens=max_tokens,
                session=session,
            )
        assert self._stream is not None
        return self._stream

    def _next_sampling(self) -> Sampling:
        """The same seed for every call would repeat a rejected draft; each stream gets one of its own."""
        self._opened += 1
        if self._sampling.seed is None:
            return self._sampling
        return replace(self._sampling, seed=(self._sampling.seed + self._opened) % 2**32)

    def _broke_off(self) -> bool:
        return self._stream is not None and self._stream.usage.generated_tokens > 0


def stopwatch() -> Callable[[], float]:
    """Seconds since this call, on the event loop's clock (which an emulation may let run faster)."""
    clock = asyncio.get_running_loop().time
    started = clock()
    return lambda: clock() - started
