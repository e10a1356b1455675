"""Replies in the format of chat completions: the chunks of a stream, or one body."""

import json
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from specreason.config import ServerSettings
from specreason.server.account import Account, usage
from specreason.server.choices import Solving
from specreason.server.errors import response_to
from specreason.server.replies import (
    ChatReply,
    Chunk,
    ChunkChoice,
    ChunkReport,
    Delta,
    OutputChoice,
    OutputFunction,
    OutputMessage,
    OutputToolCall,
    Report,
)
from specreason.server.reply_parts import (
    AnswerText,
    Ended,
    ReplyPart,
    Thinking,
    ToolCalls,
    Waiting,
    reply_parts,
)
from specreason.server.tool_calls import Call

DONE = b"data: [DONE]\n\n"
INTERRUPTED = "the base model's server broke off; waiting for it"


class ChatReplyWriter:
    """Writes the reply to the request `solving`."""

    def __init__(self, solving: Solving, settings: ServerSettings) -> None:
        self._solving = solving
        self._names = ("reasoning", "reasoning_content")
        if settings.reasoning_field != "both":
            self._names = (settings.reasoning_field,)
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._opened: set[int] = set()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The whole stream as server-sent events, `[DONE]` included."""
        async with aclosing(reply_parts(self._solving)) as parts:
            async for part in parts:
                chunk = self._chunk(part)
                if chunk is not None:
                    yield frame(chunk)
        if self._solving.asked.include_usage:
            yield frame(self._whole([], usage=usage(self._solving.accounts)))
        yield DONE

    async def whole(self) -> bytes:
        """The response in one piece."""
        solving = self._solving
        messages = [_Message() for _ in solving.accounts]
        async with aclosing(reply_parts(solving)) as parts:
            async for part in parts:
                messages[part.account.index].take(part)
        reply = ChatReply(
            id=self._id,
            created=self._created,
            model=solving.asked.offer.name,
            choices=[
                self._choice(account, message)
                for account, message in zip(solving.accounts, messages, strict=True)
            ],
            usage=usage(solving.accounts),
            specreason=report_of(solving),
        )
        return reply.model_dump_json().encode()

    def failure(self, error: Exception) -> bytes:
        """What ends a stream that broke: the error in OpenAI's shape, then `[DONE]`."""
        return b"data: " + json.dumps(response_to(error).json).encode() + b"\n\n" + DONE

    def _choice(self, account: Account, message: "_Message") -> OutputChoice:
        thinking = self._thinking(message.thinking) if self._solving.asked.include_thinking else {}
        calls = _calls(message.calls) if message.calls else None
        output = OutputMessage(content=message.answer or None, tool_calls=calls, **thinking)
        return OutputChoice(index=account.index, message=output, finish_reason=account.finish_reason)

    def _thinking(self, text: str) -> dict[str, Any]:
        return dict.fromkeys(self._names, text)

    def _chunk(self, part: ReplyPart) -> Chunk | None:
        account = part.account
        match part:
            case Thinking():
                report = ChunkReport(step=part.step) if self._solving.asked.include_steps else None
                if not part.text and report is None:
                    return None
                return self._of(account, report, **(self._thinking(part.text) if part.text else {}))
            case AnswerText():
                return self._of(account, content=part.text)
            case ToolCalls():
                return self._of(account, tool_calls=_calls(part.calls, numbered=True))
            case Waiting():
                # With an empty delta, not without choices: many clients look at the first one unasked.
                quiet = [ChunkChoice(index=account.index, delta=Delta())]
                return self._whole(quiet, report=ChunkReport(interrupted=INTERRUPTED))
            case Ended():
                return self._last(account)

    def _last(self, account: Account) -> Chunk:
        solving = self._solving
        report = ChunkReport(
            choice=account.report(steps=False),  # they went with their deltas
            queue_s=solving.queue_s,
            overhead_s=solving.overhead_s,
            total_s=solving.total_s,
        )
        choice = ChunkChoice(index=account.index, delta=Delta(), finish_reason=account.finish_reason)
        return self._whole([choice], usage=self._running_usage(), report=report)

    def _of(self, account: Account, report: ChunkReport | None = None, **delta: Any) -> Chunk:
        role = None if account.index in self._opened else "assistant"
        self._opened.add(account.index)
        choice = ChunkChoice(index=account.index, delta=Delta(role=role, **delta))
        return self._whole([choice], usage=self._running_usage(), report=report)

    def _running_usage(self) -> object:
        return usage(self._solving.accounts) if self._solving.asked.running_usage else None

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


class _Message:
    """A choice's message, put together from the parts of the reply."""

    def __init__(self) -> None:
        self.thinking = ""
        self.answer = ""
        self.calls: Sequence[Call] = ()

    def take(self, part: ReplyPart) -> None:
        match part:
            case Thinking():
                self.thinking += part.text
            case AnswerText():
                self.answer += part.text
            case ToolCalls():
                self.calls = part.calls
            case _:
                pass


def report_of(solving: Solving) -> Report:
    """How a response came about."""
    return Report(
        choices=[account.report(steps=True) for account in solving.accounts],
        queue_s=solving.queue_s,
        overhead_s=solving.overhead_s,
        total_s=solving.total_s,
    )


def frame(chunk: Chunk) -> bytes:
    """A chunk as a server-sent event."""
    return b"data: " + chunk.model_dump_json().encode() + b"\n\n"


def _calls(calls: Sequence[Call], *, numbered: bool = False) -> list[OutputToolCall]:
    return [
        OutputToolCall(
            index=n if numbered else None,
            id=call.id,
            function=OutputFunction(name=call.name, arguments=call.arguments),
        )
        for n, call in enumerate(calls)
    ]
