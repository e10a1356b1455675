"""An engine seen from outside: time spent inside it, and what of each prompt it had seen before."""

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

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

    kind: str
    prompt: int
    cached: int | None
    reusable: int


@dataclass(slots=True)
class MeteredEngine:
    """Passes everything on to `engine`; sums up `inside_s` (seconds) and, if asked, lists `calls`."""

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
            waited = 0.0
            try:
                async for piece in call:
                    meter.usage, meter.finish = call.usage, call.finish
                    written += piece.ids or ()
                    self.inside_s += call.waited_s - waited
                    waited = call.waited_s
                    yield piece
            finally:
                await call.aclose()
                meter.usage, meter.finish = call.usage, call.finish
                self.inside_s += call.waited_s - waited
                self._seen("generate", prompt, call.usage, written)

        return Generation(pieces)

    async def next_token_logprobs(
        self, prompt: Prompt, *, candidates: Sequence[str] = (), session: str = ""
    ) -> NextToken:
        started = time.perf_counter()
        told = await self.engine.next_token_logprobs(prompt, candidates=candidates, session=session)
        self.inside_s += time.perf_counter() - started
        self._seen("score", prompt, told.usage, [])
        return told

    async def tokenize(self, text: str, *, control: bool = False) -> Segment:
        started = time.perf_counter()
        segment = await self.engine.tokenize(text, control=control)
        self.inside_s += time.perf_counter() - started
        return segment

    async def apply_template(self, messages: Sequence[Message]) -> str:
        started = time.perf_counter()
        text = await self.engine.apply_template(messages)
        self.inside_s += time.perf_counter() - started
        return text

    async def aclose(self) -> None:
        await self.engine.aclose()

    def _seen(self, kind: str, prompt: Prompt, usage: Usage, written: list[int]) -> None:
        if not self.lists_calls:
            return
        ids = prompt.ids or []
        shared = 0
        for a, b in zip(ids, self._last, strict=False):
            if a != b:
                break
            shared += 1
        # An engine must compute at least one token of the prompt to go on from it.
        self.calls.append(SeenCall(kind, len(ids), usage.cached_tokens, min(shared, len(ids) - 1)))
        self._last = ids + written
