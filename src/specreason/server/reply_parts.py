"""The parts of a reply, the same for every API: steps of thinking, pieces of the answer, tool calls."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from specreason.reasoning.events import AnswerDelta, Finished, Interrupted, StepKept
from specreason.reasoning.records import StepRecord
from specreason.server.account import Account
from specreason.server.choices import Solving
from specreason.server.tool_calls import Call


@dataclass(frozen=True, slots=True)
class Thinking:
    """A kept step of a choice; `text` is empty where the client wants no thinking, and where it only ends."""

    account: Account
    text: str
    step: StepRecord


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A piece of a choice's answer."""

    account: Account
    text: str


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """The tools that a choice's answer calls."""

    account: Account
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A choice waits for its base model."""

    account: Account


@dataclass(frozen=True, slots=True)
class Ended:
    """A choice is complete."""

    account: Account


ReplyPart = Thinking | AnswerText | ToolCalls | Waiting | Ended


async def reply_parts(solving: Solving) -> AsyncGenerator[ReplyPart, None]:
    """The reply to a request, part by part. Raises what `Solving.events` raises."""
    asked = solving.asked
    readers = [asked.form.reader for _ in solving.accounts]
    async with aclosing(solving.events()) as events:
        async for happened in events:
            account, reader = happened.account, readers[happened.account.index]
            match happened.event:
                case StepKept(step=step):
                    yield Thinking(account, step.text if asked.include_thinking else "", step)
                case AnswerDelta(text=text):
                    if now := text if reader is None else reader.take(text):
                        yield AnswerText(account, now)
                case Interrupted():
                    yield Waiting(account)
                case Finished():
                    rest, calls = ("", []) if reader is None else reader.end()
                    if rest:
                        yield AnswerText(account, rest)
                    if calls:
                        calls = calls[:1] if asked.one_call else calls
                        account.called = True
                        yield ToolCalls(account, calls)
                    yield Ended(account)
                case _:
                    pass
