"""An engine seen from outside: time spent inside it, and what of each prompt it had seen before."""

import time
from collections.abc import AsyncGenerator, Awaitable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from specreason.engines.protocol import (
    Capabilities,
    Engine,
    Generation,
    Message,
    Meter,
    NextToken,
    Piece,
    Prompt,
    Sampling,
    Segment,
    Usage,
)


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One call. `reusable`: tokens of its prompt that the last call on this engine ended with or shared."""

    session: str
    prompt: int
    cached: int | None
    reusable: int


T = TypeVar("T")


@dataclass(slots=True)
class MeteredEngine:
    """Passes everything on to `engine`; sums up `inside_s` and, if asked, lists `calls`.

    `inside_s`: seconds in which the engine's own code ran, on this thread. While it waits others may run.
    """

    engine: Engine
    lists_calls: bool = True  # costs time in proportion to the prompt
    inside_s: float = 0.0
    calls: list[SeenCall] = field(default_factory=list[SeenCall])
    _last: list[int] = field(default_factory=list[int])

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def model(self) -> str:
        return self.engine.model

    @property
    def context_length(self) -> int:
        return self.engine.context_length

    @property
    def capabilities(self) -> Capabilities:
        return self.engine.capabilities

    @property
    def vocabulary(self) -> str:
        return self.engine.vocabulary

    def generate(
        self,
        prompt: Prompt,
        *,
        sampling: Sampling,
        max_tokens: int,
        stop: Sequence[str] = (),
        session: str = "",
    ) -> Generation:
        call = self.engine.generate(
            prompt, sampling=sampling, max_tokens=max_tokens, stop=stop, session=session
        )

        async def pieces(meter: Meter) -> AsyncGenerator[Piece, None]:
            written: list[int] = []
            try:
                while (piece := await _Run(self, anext(call, None))) is not None:
                    meter.usage, meter.finish = call.usage, call.finish
                    written += piece.ids or ()
                    yield piece
            finally:
                await _Run(self, call.aclose())
                meter.usage, meter.finish = call.usage, call.finish
                self._seen(session, prompt, call.usage, written)

        return Generation(pieces)

    async def next_token_logprobs(
        self, prompt: Prompt, *, candidates: Sequence[str] = (), session: str = ""
    ) -> NextToken:
        answer = await _Run(
            self, self.engine.next_token_logprobs(prompt, candidates=candidates, session=session)
        )
        self._seen(session, prompt, answer.usage, [])
        return answer

    async def tokenize(self, text: str, *, control: bool = False) -> Segment:
        return await _Run(self, self.engine.tokenize(text, control=control))

    async def reads_as_control(self, candidates: Collection[str]) -> Collection[str]:
        return await _Run(self, self.engine.reads_as_control(candidates))

    async def apply_template(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        return await _Run(
            self, self.engine.apply_template(messages, tools=tools, template_kwargs=template_kwargs)
        )

    def end_session(self, session: str) -> None:
        self.engine.end_session(session)

    async def aclose(self) -> None:
        await self.engine.aclose()

    def _seen(self, session: str, prompt: Prompt, usage: Usage, written: list[int]) -> None:
        if not self.lists_calls:
            return
        ids = prompt.ids or []
        shared = 0
        for a, b in zip(ids, self._last, strict=False):
            if a != b:
                break
            shared += 1
        # An engine must compute at least one token of the prompt to go on from it.
        self.calls.append(SeenCall(session, len(ids), usage.cached_tokens, min(shared, len(ids) - 1)))
        self._last = ids + written


@dataclass(slots=True)
class _Run(Generic[T]):
    """Awaits `what` and adds the time in which it runs, not that in which it waits, to the engine's."""

    engine: MeteredEngine
    what: Awaitable[T]

    def __await__(self) -> Generator[Any, Any, T]:
        running = self.what.__await__()
        go_on = partial(next, running)
        while True:
            started = time.thread_time()
            try:
                waits_for = go_on()
            except StopIteration as end:
                return end.value
            finally:
                self.engine.inside_s += time.thread_time() - started
            try:
                yield waits_for
                go_on = partial(next, running)
            except BaseException as error:  # a cancellation, for whoever waits
                go_on = partial(running.throw, error)
