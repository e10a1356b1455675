"""A repair: the first line of a rejected draft is kept unasked, and the base model goes on from there."""

from dataclasses import dataclass

from specreason.reasoning.chain import Chain
from specreason.reasoning.repairs.contract import Rejected, Repairing, Replacement
from specreason.reasoning.repairs.keep_prefix import joined
from specreason.reasoning.schedules.contract import Draft


@dataclass(frozen=True)
class FirstLine:
    name: str = "first_line"
    beside: bool = False

    async def begin(self, work: Repairing, chain: Chain) -> None:
        pass

    async def __call__(self, work: Repairing, rejected: Rejected) -> Replacement:
        chain, draft = rejected.chain, rejected.draft
        end = draft.text.find("\n", len(draft.text) - len(draft.text.lstrip()))
        if end < 0 or not draft.text[end:].strip():
            return Replacement(*await work.write(chain, work.left(chain)))
        line = await work.cut(draft, end + 1)
        kept = Draft(line, await work.read(chain, line, "small"))
        rest, seconds = await work.write(kept.after, work.left(kept.after))
        return Replacement(joined(kept, rest), seconds, "kept_prefix", line.tokens)


REPAIR = FirstLine()
