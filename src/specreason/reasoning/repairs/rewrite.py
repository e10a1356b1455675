"""Rewrite: the base model writes the step anew (SpecReason, section 4.1)."""

from dataclasses import dataclass

from specreason.reasoning.chain import Chain
from specreason.reasoning.repairs.contract import Rejected, Repairing, Replacement


@dataclass(frozen=True, slots=True)
class Rewrite:
    """All of the draft is discarded."""

    name: str = "rewrite"
    beside: bool = False

    async def begin(self, work: Repairing, chain: Chain) -> None:
        """Nothing is written before a draft is rejected."""

    async def __call__(self, work: Repairing, rejected: Rejected) -> Replacement:
        """See `Repair`."""
        return Replacement(*await work.write(rejected.chain, work.left(rejected.chain)))


REPAIR = Rewrite()
