"""The streamed completions of one server: from the body of a request to pieces of text and what they cost."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from specreason.engines import chunks as read
from specreason.engines.control_tokens import JOINER
from specreason.engines.dialects import Dialect
from specreason.engines.event_stream import DONE
from specreason.engines.protocol import Finish, Meter, Piece, Prompt, Usage
from specreason.engines.reading import Json
from specreason.engines.slots import Slots
from specreason.engines.transport import Transport
from specreason.errors import EngineError, EngineRejected, EngineUnavailable

_ACCOUNT_WITHIN = 0.5  # seconds from the finish reason to the usage; some servers never end the stream


class Completions:
    """Calls of POST /v1/completions with `stream`; each keeps the `meter` that it is given up to date.

    `text_prompts`: prompts go as text, with the word joiners of `control_tokens` in it.
    """

    def __init__(self, transport: Transport, dialect: Dialect, slots: Slots, *, text_prompts: bool) -> None:
        self._transport = transport
        self._name = transport.name
        self._dialect = dialect
        self._slots = slots
        self._text_prompts = text_prompts
        self._account_within = _ACCOUNT_WITHIN

    async def pieces(
        self, body: Mapping[str, Any], prompt: Prompt, session: str, meter: Meter
    ) -> AsyncGenerator[Piece, None]:
        """The text of a call, its tokens apart where the server tells them."""
        # Whoever has the last piece may close the call; the account, which follows it, must be in by then.
        last: list[Piece] = []
        dialect = self._dialect
        async for chunk, choices in self.metered(body, prompt, session, meter):
            for choice in choices:
                # The last chunk of a stopped call may carry the end token's id, which is no part of the text.
                if choice.get("text") or (dialect.read_ids(choice, chunk) and meter.finish != "stop"):
                    for piece in self._without_joiners(read.pieces(dialect, choice, chunk)):
                        if meter.finish is None:
                            yield piece
                        else:
                            last.append(piece)
        for piece in last:
            yield piece

    def _without_joiners(self, pieces: list[Piece]) -> list[Piece]:
        """A model copies them with the text around them."""
        if not self._text_prompts:
            return pieces
        return [replace(piece, text=piece.text.replace(JOINER, "")) for piece in pieces]

    async def metered(
        self, body: Mapping[str, Any], prompt: Prompt, session: str, meter: Meter
    ) -> AsyncGenerator[tuple[Json, Sequence[Json]], None]:
        """The chunks of a call and their choices; keeps `meter` up to date, also for a call cut short."""
        dialect = self._dialect
        meter.usage = Usage(prompt_tokens=prompt.tokens)
        chunks = self._chunks(body, prompt, session)
        held: list[str] = []
        whole = False  # by the server's own word, though it gives no reason
        try:
            while (chunk := await self._next(chunks, over=meter.finish is not None)) is not None:
                choices = read.choices(chunk, held)
                for choice in choices:
                    meter.finish = self._end(choice) or meter.finish
                meter.usage = read.grown(meter.usage, dialect, chunk, choices)
                # The account follows the text, so that where it stands alone the text is over.
                whole = chunk is DONE or (not choices and read.usage(chunk)[1] is not None)
                yield chunk, choices
        finally:
            await chunks.aclose()
        if meter.finish is None:
            if not whole:
                raise EngineUnavailable("the stream ended in the middle of the text", engine=self._name)
            meter.finish = "length" if meter.usage.generated_tokens >= body["max_tokens"] else "stop"
        if held:
            yield {}, [{"text": "\N{REPLACEMENT CHARACTER}"}]

    async def _chunks(
        self, body: Mapping[str, Any], prompt: Prompt, session: str
    ) -> AsyncGenerator[Json, None]:
        """The chunks of a request, in the conversation's cache slot where the server has such."""
        dialect = self._dialect
        with self._slots.held(session, prompt) as slot:
            pinned = body if slot is None else {**body, dialect.session_field: slot}
            async with aclosing(self._transport.stream(pinned, dialect.headers)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _next(self, chunks: AsyncGenerator[Json, None], *, over: bool) -> Json | None:
        """The next chunk, None after the last. Once the text is over its account is welcome, not needed."""
        if not over:
            return await anext(chunks, None)
        try:
            async with asyncio.timeout(self._account_within):
                chunk = await anext(chunks, None)
        except TimeoutError:
            self._account_within /= 2  # a server that never ends its streams is not waited for each time
            return None
        except EngineError:
            return None
        self._account_within = _ACCOUNT_WITHIN
        return chunk

    def _end(self, choice: Json) -> Finish | None:
        """Why the text of a choice ends, None if it goes on. Raises EngineError for an end that is none."""
        ended, failed = read.finish(choice)
        if not failed:
            return ended
        if read.is_refusal(failed):
            raise EngineRejected(
                f"the server's content filter stopped the text ({failed!r})", engine=self._name
            )
        raise EngineUnavailable(
            f"the server gave up in the middle of the text ({failed!r})", engine=self._name
        )
