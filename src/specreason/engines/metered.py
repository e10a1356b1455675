"""An engine whose calls are counted: whoever is given it can ask a model nothing unseen."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specreason.engines.protocol import (
    Capabilities,
    Engine,
    Finish,
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
class MeteredEngine:
    """Passes everything on to `engine`, and reports each model call once, when it is over.

    `on_call(usage, seconds, finish)`: seconds spent waiting for the engine. A generation that nobody began to
    read is no call; one that failed or was closed early ends as "cancelled". A failed score is not reported.
    """

    engine: Engine
    on_call: Callable[[Usage, float, Finish], None]

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
            try:
                async for piece in call:
                    meter.usage, meter.finish = call.usage, call.finish
                    yield piece
            finally:
                try:
                    await call.aclose()
                finally:
                    meter.usage, meter.finish = call.usage, call.finish or "cancelled"
                    self.on_call(meter.usage, call.waited_s, meter.finish)

        return Generation(pieces)

    async def next_token_logprobs(
        self, prompt: Prompt, *, candidates: Sequence[str] = (), session: str = ""
    ) -> NextToken:
        answer = await self.engine.next_token_logprobs(prompt, candidates=candidates, session=session)
        self.on_call(answer.usage, answer.waited_s, "length")
        return answer

    async def tokenize(self, text: str, *, control: bool = False) -> Segment:
        return await self.engine.tokenize(text, control=control)

    async def reads_as_control(self, candidates: Collection[str]) -> Collection[str]:
        return await self.engine.reads_as_control(candidates)

    async def apply_template(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        return await self.engine.apply_template(messages, tools=tools, template_kwargs=template_kwargs)

    def end_session(self, session: str) -> None:
        self.engine.end_session(session)

    async def aclose(self) -> None:
        await self.engine.aclose()
