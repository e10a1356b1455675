"""What runs at the same time. A schedule knows of drafts, verdicts and chains, and of no rule or engine.

Every schedule yields the same sequence of checked drafts for the same deterministic models; they differ in
what overlaps.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from specreason.errors import EngineError
from specreason.reasoning.chain import Chain
from specreason.reasoning.policies.contract import Accept, Known, Reject
from specreason.reasoning.steps import Step

Hold = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Draft:
    """A step of the small model, and the chain with it."""

    step: Step
    after: Chain


@dataclass(frozen=True, slots=True)
class Drafted:
    """The drafts of one step, each different, and the seconds waited for them.

    `favourite`: the one that is likeliest to stand, as far as can be told before they are judged. `tokens`:
    of all that were written, those that came out alike included.
    """

    drafts: tuple[Draft, ...]
    seconds: float
    favourite: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Verified:
    """A verdict, and the signals that it rests on."""

    verdict: Accept | Reject
    known: Known


@dataclass(frozen=True, slots=True)
class Checked:
    """Drafts of one step and their verdicts, in the same order."""

    drafted: Drafted
    verified: tuple[Verified, ...]

    @property
    def stood(self) -> int:
        """How many drafts stand."""
        return sum(isinstance(v.verdict, Accept) for v in self.verified)

    @property
    def chosen(self) -> int | None:
        """Of the drafts that stand the one with the most merit, the first of equals; None if none stands."""
        merits = {
            number: v.verdict.merit for number, v in enumerate(self.verified) if isinstance(v.verdict, Accept)
        }
        return max(merits, key=lambda number: (merits[number], -number), default=None)


class DrafterFailed(Exception):
    """The small model cannot go on, because of `error`."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(str(error))
        self.error = error


class Speculation(Protocol):
    """What a schedule puts in order; the loop provides it."""

    async def draft(self, chain: Chain, row: int = 0) -> Drafted | None:
        """The small model's next step after `chain`; None if someone else is to write there, or nobody.

        `row`: which pens write; rows write side by side. Raises DrafterFailed.
        """
        ...

    async def hold(self, row: int = 0) -> None:
        """Stop the small model's pens of a row until the next draft is asked of them."""
        ...

    async def hedge(self, chain: Chain) -> None:
        """Let the base model begin its own step after `chain`, for the case that no draft stands there."""
        ...

    async def verify(self, chain: Chain, drafted: Drafted, before_measuring: Hold) -> tuple[Verified, ...]:
        """The policy's verdicts; `before_measuring` is awaited before any model is asked anything."""
        ...


class Schedule(Protocol):
    """Turns a speculation into drafts and verdicts, up to the first rejection or the end of drafting."""

    def __call__(
        self, speculation: Speculation, chain: Chain, *, hedge: bool
    ) -> AsyncGenerator[Drafted | Checked, None]:
        """Each step's drafts after `chain`, and then the same ones checked. May be left at any of them."""
        ...


async def sequential(
    speculation: Speculation, chain: Chain, *, hedge: bool = False
) -> AsyncGenerator[Drafted | Checked, None]:
    """The draft stream is held while its step is judged. With `hedge` the base model writes meanwhile."""
    while True:
        if hedge:
            await speculation.hedge(chain)
        drafted = await speculation.draft(chain)
        if drafted is None:
            return
        yield drafted
        checked = Checked(drafted, await speculation.verify(chain, drafted, speculation.hold))
        yield checked
        if checked.chosen is None:
            return
        chain = drafted.drafts[checked.chosen].after


def favourite(steps: Sequence[Step]) -> int:
    """The step whose tokens its model found likeliest on average; the first where it does not tell."""

    def likelihood(number: int) -> float:
        told = steps[number].logprobs
        return sum(told) / len(told) if told else float("-inf")

    return max(range(len(steps)), key=lambda number: (likelihood(number), -number))
