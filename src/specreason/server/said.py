"""What a client is told of a request, before it is written in the words of one API."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from specreason.reasoning.events import AnswerDelta, Finished, Interrupted, StepAccepted
from specreason.server.account import Account
from specreason.server.choices import Solving
from specreason.server.replies import StepReport
from specreason.server.tool_calls import Call


@dataclass(frozen=True, slots=True)
class Thought:
    """A kept step of a choice; `text` is empty where the client wants no thinking."""

    account: Account
    text: str
    step: StepReport | None


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of a choice's answer."""

    account: Account
    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """The tools that a choice's answer calls."""

    account: Account
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Paused:
    """A choice waits for its base model."""

    account: Account


@dataclass(frozen=True, slots=True)
class Ended:
    """A choice is complete."""

    account: Account


Said = Thought | Text | Called | Paused | Ended


async def said(solving: Solving) -> AsyncGenerator[Said, None]:
    """All that is told of a request, in order. Raises what `Solving.events` raises."""
    asked = solving.asked
    readers = [asked.form.reader for _ in solving.accounts]
    async with aclosing(solving.events()) as all_told:
        async for told in all_told:
            account, reader = told.account, readers[told.account.index]
            match told.event:
                case StepAccepted(text=text) if text:
                    yield Thought(account, text if asked.include_thinking else "", told.step)
                case AnswerDelta(text=text):
                    if now := text if reader is None else reader.take(text):
                        yield Text(account, now)
                case Interrupted():
                    yield Paused(account)
                case Finished():
                    rest, calls = ("", []) if reader is None else reader.end()
                    if rest:
                        yield Text(account, rest)
                    if calls:
                        calls = calls[:1] if asked.one_call else calls
                        account.called = True
                        yield Called(account, calls)
                    yield Ended(account)
                case _:
                    pass
