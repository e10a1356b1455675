"""What runs at the same time. A schedule knows of drafts, verdicts and chains, and of no rule or engine.

Every schedule yields the same sequence of verdicts for the same deterministic models; they differ in what
overlaps.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from specreason.errors import EngineError
from specreason.reasoning.chain import Chain
from specreason.reasoning.policies.contract import Accept, Reject
from specreason.reasoning.signals.contract import Signals
from specreason.reasoning.steps import Step

Pause = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Draft:
    """A step of the small model, and the chain with it."""

    step: Step
    after: Chain


@dataclass(frozen=True, slots=True)
class Drafted:
    """The drafts of one step, each different, and the seconds waited for them.

    `favourite`: the one that is likeliest to be accepted, as far as can be known before they are judged.
    `tokens`: of all that were written, those that came out alike included.
    """

    drafts: tuple[Draft, ...]
    seconds: float
    favourite: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Verified:
    """Drafts and the verdict on them: what it rests on, and the seconds from the drafts to it."""

    drafted: Drafted
    verdict: Accept | Reject
    signals: Signals
    seconds: float

    @property
    def accepted(self) -> Draft | None:
        """The draft that is kept; None if none is."""
        return self.drafted.drafts[self.verdict.which] if isinstance(self.verdict, Accept) else None

    @property
    def which(self) -> int:
        """Number of the draft that the verdict is about."""
        which = self.verdict.which
        return self.drafted.favourite if which is None else which


class DrafterFailed(Exception):
    """The small model cannot go on, because of `error`."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(str(error))
        self.error = error


class Speculation(Protocol):
    """What a schedule puts in order; the loop provides it."""

    async def begin(self, chain: Chain) -> None:
        """A step after `chain` is about to be drafted: a repair that works beside that begins now."""
        ...

    async def draft(self, chain: Chain, lane: int = 0) -> Drafted | None:
        """The small model's next step after `chain`; None if someone else is to write there, or nobody.

        Lanes write side by side. Raises DrafterFailed.
        """
        ...

    async def pause(self, lane: int = 0) -> None:
        """Stop the small model in a lane until the next draft is asked of it."""
        ...

    async def verify(self, chain: Chain, drafted: Drafted, before_measuring: Pause) -> Verified:
        """The policy's verdict; `before_measuring` is awaited before any model is asked anything."""
        ...


class Schedule(Protocol):
    """Turns a speculation into drafts and verdicts, up to the first rejection or the end of drafting."""

    @property
    def depth(self) -> int:
        """How many steps it drafts ahead of the verdict."""
        ...

    @property
    def branches(self) -> bool:
        """Whether it runs ahead of each of several drafts, which takes as many lanes as there are drafts."""
        ...

    def __call__(self, speculation: Speculation, chain: Chain) -> AsyncGenerator[Drafted | Verified, None]:
        """Each step's drafts after `chain`, and then the verdict on them. May be left at any of them."""
        ...


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """A schedule as it is found and set up.

    `make`: called with the settings `reasoning.*`, and whether the small model works on the cores of this
    process, where a second draft is nearly as dear as the first. A schedule is a value, without state.
    """

    name: str
    make: Callable[[Any, bool], Schedule]


def favourite(steps: Sequence[Step]) -> int:
    """The step whose tokens its model found likeliest on average; the first where it does not report that."""

    def likelihood(number: int) -> float:
        logprobs = steps[number].logprobs
        return sum(logprobs) / len(logprobs) if logprobs else float("-inf")

    return max(range(len(steps)), key=lambda number: (likelihood(number), -number))
