"""One after the other: the small model is paused while its step is judged (the paper's order)."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from specreason.reasoning.chain import Chain
from specreason.reasoning.schedules.contract import Drafted, ScheduleSpec, Speculation, Verified


@dataclass(frozen=True, slots=True)
class Sequential:
    """Draft, verdict, draft, verdict."""

    depth: int = 0
    branches: bool = False

    async def __call__(
        self, speculation: Speculation, chain: Chain
    ) -> AsyncGenerator[Drafted | Verified, None]:
        """See `Schedule`."""
        while True:
            await speculation.begin(chain)
            drafted = await speculation.draft(chain)
            if drafted is None:
                return
            yield drafted
            verified = await speculation.verify(chain, drafted, speculation.pause)
            yield verified
            if verified.accepted is None:
                return
            chain = verified.accepted.after


SCHEDULE = ScheduleSpec("sequential", lambda settings, in_process: Sequential())
