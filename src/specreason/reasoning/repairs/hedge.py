"""Hedge: the base model begins its own step while a draft is written and judged; one is cancelled."""

from dataclasses import dataclass

from specreason.reasoning.chain import Chain
from specreason.reasoning.repairs.contract import Rejected, Repairing, Replacement


@dataclass(frozen=True, slots=True)
class Hedge:
    """The base model is ahead by what the draft and its verdict took."""

    name: str = "hedge"
    beside: bool = True

    async def begin(self, work: Repairing, chain: Chain) -> None:
        """See `Repair`."""
        await work.begin_writing(chain)

    async def __call__(self, work: Repairing, rejected: Rejected) -> Replacement:
        """See `Repair`."""
        return Replacement(*await work.write(rejected.chain, work.left(rejected.chain)))


REPAIR = Hedge()
