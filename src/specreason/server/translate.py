"""From events to OpenAI's shapes: the chunks of a stream, or one reply."""

import json
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing

from specreason.reasoning.events import AnswerDelta, Finished, Interrupted, StepAccepted
from specreason.server.account import Account, usage
from specreason.server.choices import Solving, Told
from specreason.server.errors import answered
from specreason.server.replies import (
    ChatReply,
    Chunk,
    ChunkChoice,
    ChunkReport,
    Delta,
    OutputChoice,
    OutputMessage,
    Report,
)

DONE = b"data: [DONE]\n\n"


class Translation:
    """One response in the making; `solving` is where its events come from."""

    def __init__(self, solving: Solving) -> None:
        self._solving = solving
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._opened: set[int] = set()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The whole stream as server-sent events, `[DONE]` included."""
        async with aclosing(self._solving.events()) as all_told:
            async for told in all_told:
                chunk = self._chunk(told)
                if chunk is not None:
                    yield frame(chunk)
        if self._solving.asked.include_usage:
            yield frame(self._whole([], usage=usage(self._solving.accounts)))
        yield DONE

    async def reply(self) -> ChatReply:
        """The response in one piece, once everything is told."""
        thinking: dict[int, list[str]] = {}
        answers: dict[int, list[str]] = {}
        async with aclosing(self._solving.events()) as all_told:
            async for told in all_told:
                match told.event:
                    case StepAccepted():
                        thinking.setdefault(told.account.index, []).append(told.event.text)
                    case AnswerDelta():
                        answers.setdefault(told.account.index, []).append(told.event.text)
                    case _:
                        pass
        solving = self._solving
        return ChatReply(
            id=self._id,
            created=self._created,
            model=solving.asked.offer.name,
            choices=[
                _choice(account, "".join(thinking.get(n, ())), "".join(answers.get(n, ())))
                for n, account in enumerate(solving.accounts)
            ],
            usage=usage(solving.accounts),
            specreason=Report(
                choices=[account.report(steps=True) for account in solving.accounts],
                queue_s=solving.queue_s,
                overhead_s=solving.overhead_s,
                total_s=solving.total_s,
            ),
        )

    def _chunk(self, told: Told) -> Chunk | None:
        event, index = told.event, told.account.index
        match event:
            case StepAccepted() if event.text:
                report = ChunkReport(step=told.step) if self._solving.asked.include_steps else None
                role = None if index in self._opened else "assistant"
                delta = Delta(role=role, reasoning=event.text, reasoning_content=event.text)
                return self._of(index, delta, report)
            case AnswerDelta() if event.text:
                role = None if index in self._opened else "assistant"
                return self._of(index, Delta(role=role, content=event.text))
            case Interrupted():
                # With an empty delta, not without choices: many clients look at the first one unasked.
                quiet = [ChunkChoice(index=index, delta=Delta())]
                return self._whole(quiet, report=ChunkReport(interrupted=event.reason))
            case Finished():
                return self._last(told.account)
            case _:
                return None

    def _last(self, account: Account) -> Chunk:
        solving = self._solving
        report = ChunkReport(
            choice=account.report(steps=False),  # they went with their deltas
            queue_s=solving.queue_s,
            overhead_s=solving.overhead_s,
            total_s=solving.total_s,
        )
        choice = ChunkChoice(index=account.index, delta=Delta(), finish_reason=account.finish_reason)
        return self._whole([choice], report=report)

    def _of(self, index: int, delta: Delta, report: ChunkReport | None = None) -> Chunk:
        self._opened.add(index)
        return self._whole([ChunkChoice(index=index, delta=delta)], report=report)

    def _whole(self, choices: list[ChunkChoice], *, usage: object = None, report: object = None) -> Chunk:
        return Chunk.model_construct(
            id=self._id,
            object="chat.completion.chunk",
            created=self._created,
            model=self._solving.asked.offer.name,
            choices=choices,
            usage=usage,
            specreason=report,
        )


def frame(chunk: Chunk) -> bytes:
    """A chunk as a server-sent event."""
    return b"data: " + chunk.model_dump_json().encode() + b"\n\n"


def failure_frames(error: Exception) -> bytes:
    """What ends a stream that broke: the error in OpenAI's shape, then `[DONE]`."""
    body = json.dumps(answered(error).json)
    return b"data: " + body.encode() + b"\n\n" + DONE


def _choice(account: Account, thinking: str, answer: str) -> OutputChoice:
    message = OutputMessage(content=answer or None, reasoning=thinking, reasoning_content=thinking)
    return OutputChoice(index=account.index, message=message, finish_reason=account.finish_reason)
