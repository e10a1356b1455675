"""Keep the prefix: what stands before a draft's mistake stays, and the base model writes the rest.

SpecReason discards a rejected draft whole (arXiv 2504.07891, section 4.1), and the base model writes all of
the step anew. But a draft goes wrong somewhere. To ask about what stands before that takes a token or two on
a cached prefix; to write it again takes every one of its tokens.
"""

import re
from dataclasses import dataclass

from specreason.reasoning.answers import boxed_answer
from specreason.reasoning.chain import Chain
from specreason.reasoning.repairs.contract import Rejected, Repairing, Replacement
from specreason.reasoning.schedules.contract import Draft, DrafterFailed
from specreason.reasoning.steps import Step

# A line's end belongs to what is before it, the blank after a sentence to what follows, as tokens mostly do.
_PART = re.compile(r"\n+|(?<=[.!?:;])(?=[^\S\n])")
# "2." begins a list's next line and ends nothing.
_MARKER = re.compile(r"(?:^|\n)[^\S\n]*(?:\d{1,3}|[A-Za-z])[.:;]$")


@dataclass(frozen=True, slots=True)
class KeepPrefix:
    """The longest beginning that the policy accepts stays; where there is none, it is a rewrite."""

    name: str = "keep_prefix"
    beside: bool = False

    async def begin(self, work: Repairing, chain: Chain) -> None:
        """Nothing is written before a draft is rejected."""

    async def __call__(self, work: Repairing, rejected: Rejected) -> Replacement:
        """See `Repair`. Of a draft that goes round in a circle nothing is kept."""
        chain = rejected.chain
        prefix = None if rejected.reason == "repetition" else await kept_prefix(work, chain, rejected.draft)
        if prefix is None:
            return Replacement(*await work.write(chain, work.left(chain)))
        begins = prefix.step
        # The whole step has no more tokens than any other.
        room = min(work.left(prefix.after), max(1, work.max_step_tokens - begins.tokens))
        rest, seconds = await work.write(prefix.after, room)
        return Replacement(joined(prefix, rest), seconds, "kept_prefix", begins.tokens)


REPAIR = KeepPrefix()


def inner_ends(text: str) -> list[int]:
    """Where the sentences and lines of a step end, but for the last one: characters from its start."""
    begins, ends = len(text) - len(text.lstrip()), len(text.rstrip())
    found = [match.end() for match in _PART.finditer(text)]
    return [end for end in found if begins < end < ends and not _MARKER.search(text[:end])]


async def kept_prefix(work: Repairing, chain: Chain, step: Step) -> Draft | None:
    """The longest beginning of the rejected `step` that the policy accepts after `chain`.

    Found by halving, as if all before a mistake were accepted and nothing after it: with n parts at most
    log2(n) + 1 verdicts. None if there is no such beginning, or no room for more after it. One that states
    the answer is never kept: it would end thinking. Raises EngineError if the base model cannot be asked.
    """
    ends = inner_ends(step.text)
    best: Draft | None = None
    while ends:
        middle = len(ends) // 2
        try:
            beginning = await work.cut(step, ends[middle])
            draft = Draft(beginning, await work.read(chain, beginning, "small"))
        except DrafterFailed:
            break  # it will be seen again when it is to draft
        room = work.left(draft.after) > 0 and not boxed_answer(beginning.text)
        if await work.accepts(chain, draft) and room:
            best, ends = draft, ends[middle + 1 :]
        else:
            ends = ends[:middle]
    return best


def joined(prefix: Draft, rest: Step) -> Step:
    """One step of a draft's beginning and what the base model made of it, in the base model's tokens."""
    read = prefix.after.prompts["base"].segments[-1].ids
    ids = None if read is None or rest.ids is None else (*read, *rest.ids)
    tokens = prefix.step.tokens + rest.tokens
    return Step(prefix.step.text + rest.text, ids, tokens, rest.logprobs, rest.end)
