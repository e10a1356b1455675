"""One model's pen: steps taken one by one from a single open stream.

A model's natural state is writing. The stream stays open for as long as the chain grows by exactly what the
model writes; when the chain goes another way, or another model has to work, the stream is closed, which
stops the model server's work, and the next step opens a new one on the cached prefix.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from specreason.engines.protocol import Engine, Generation, Sampling
from specreason.errors import EngineUnavailable
from specreason.reasoning.calls import call_ended
from specreason.reasoning.chain import Chain, Role
from specreason.reasoning.events import CallEnded, Phase
from specreason.reasoning.steps import Step, StepSplitter


@dataclass(frozen=True, slots=True)
class StepShape:
    """Where steps end: the delimiter, what closes the thinking block (None without one), the cap (tokens)."""

    delimiter: str
    think_close: str | None
    max_tokens: int


class Writer:
    """Writes steps with `engine`. `on_call` is told of every call when it is over."""

    def __init__(
        self,
        *,
        role: Role,
        engine: Engine,
        shape: StepShape,
        sampling: Sampling,
        session: str,
        on_call: Callable[[CallEnded], None],
    ) -> None:
        self.role: Role = role
        self.engine = engine
        self._shape = shape
        self._sampling = sampling
        self._session = session
        self._on_call = on_call
        self._opened = 0
        self._stream: Generation | None = None
        self._phase: Phase = "draft"
        self._splitter = StepSplitter(shape.delimiter, shape.think_close, shape.max_tokens)
        self._ready: deque[Step] = deque()
        self._last: Step | None = None
        self._delivered = 0

    async def next_step(self, chain: Chain, phase: Phase, max_tokens: int) -> tuple[Step, float]:
        """The model's next step after `chain`, and the seconds waited for it.

        `max_tokens` bounds a newly opened stream. A stream that breaks in the middle of a step is opened once
        more from the last kept step; raises EngineError if that fails too.
        """
        try:
            return await self._next(chain, phase, max_tokens)
        except EngineUnavailable:
            if not self._broke_off():
                raise
            await self.hold()
            return await self._next(chain, phase, max_tokens)

    async def hold(self) -> None:
        """Stop writing: close the stream if one is open. The model's cache keeps what it has written."""
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

    async def _next(self, chain: Chain, phase: Phase, max_tokens: int) -> tuple[Step, float]:
        stream = await self._stream_at(chain, phase, max_tokens)
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
        self._delivered += step.tokens
        if step.end in {"stop", "think_close"} or (stream.finish is not None and not self._ready):
            await self.hold()
        return step, stream.waited_s - waited

    async def _stream_at(self, chain: Chain, phase: Phase, max_tokens: int) -> Generation:
        goes_on = self._stream is not None and chain.last is self._last and phase == self._phase
        if not goes_on:
            await self.hold()
            self._phase, self._last, self._delivered = phase, chain.last, 0
            shape = self._shape
            self._splitter = StepSplitter(shape.delimiter, shape.think_close, shape.max_tokens)
            self._stream = self.engine.generate(
                chain.prompts[self.role],
                sampling=self._next_sampling(),
                max_tokens=max_tokens,
                session=self._session,
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
    """Seconds since this call."""
    started = time.perf_counter()
    return lambda: time.perf_counter() - started
