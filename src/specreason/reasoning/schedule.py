"""What runs at the same time. A schedule knows of drafts, verdicts and chains, and of no rule or engine.

Every schedule yields the same sequence of checked drafts for the same models; they differ in what overlaps.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from specreason.reasoning.chain import Chain
from specreason.reasoning.policies.contract import Accept, Known, Reject
from specreason.reasoning.steps import Step

Hold = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Drafted:
    """A step of the small model, and the seconds waited for it."""

    step: Step
    seconds: float


@dataclass(frozen=True, slots=True)
class Verified:
    """A verdict, and the signals that it rests on."""

    verdict: Accept | Reject
    known: Known


@dataclass(frozen=True, slots=True)
class Checked:
    """A draft and its verdict. `after`: the chain with the draft, if it stands; else the chain before it."""

    drafted: Drafted
    verified: Verified
    after: Chain


class Speculation(Protocol):
    """What a schedule puts in order; the loop provides it."""

    async def draft(self, chain: Chain) -> Drafted | None:
        """The small model's next step after `chain`; None if someone else is to write there."""
        ...

    async def hold(self) -> None:
        """Stop the small model until the next draft is asked for."""
        ...

    async def verify(self, chain: Chain, draft: Step, before_measuring: Hold) -> Verified:
        """The policy's verdict; `before_measuring` is awaited before any model is asked anything."""
        ...

    async def extend(self, chain: Chain, step: Step) -> Chain:
        """The chain with the small model's step."""
        ...


class Schedule(Protocol):
    """Turns a speculation into drafts and verdicts, up to the first rejection or the end of drafting."""

    def __call__(self, speculation: Speculation, chain: Chain) -> AsyncGenerator[Drafted | Checked, None]:
        """Each draft after `chain`, and then the same one checked. The consumer may stop at any of them."""
        ...


async def sequential(speculation: Speculation, chain: Chain) -> AsyncGenerator[Drafted | Checked, None]:
    """One model works at a time: the draft stream is held while its step is judged."""
    while (drafted := await speculation.draft(chain)) is not None:
        yield drafted
        verified = await speculation.verify(chain, drafted.step, speculation.hold)
        if isinstance(verified.verdict, Accept):
            chain = await speculation.extend(chain, drafted.step)
        yield Checked(drafted, verified, chain)
        if isinstance(verified.verdict, Reject):
            return
