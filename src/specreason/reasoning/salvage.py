"""What of a rejected draft can stay: its beginning, as far as that stands by itself.

SpecReason discards a rejected draft whole (arXiv 2504.07891, section 4.1), and the base model writes all of
the step anew. But a draft goes wrong somewhere. To ask about what stands before that takes a token or two on
a cached prefix; to write it again takes every one of its tokens.
"""

import re

from specreason.errors import EngineError
from specreason.reasoning.answers import boxed_answer
from specreason.reasoning.chain import Chain
from specreason.reasoning.policies.contract import Accept, Known
from specreason.reasoning.schedule import Draft, DrafterFailed
from specreason.reasoning.speculation import verdict_on
from specreason.reasoning.steps import Step
from specreason.reasoning.thinking import Thinking

# A line's end belongs to what is before it, the blank after a sentence to what follows, as tokens mostly do.
_PART = re.compile(r"\n+|(?<=[.!?:;])(?=[^\S\n])")
# "2." begins a list's next line and ends nothing.
_MARKER = re.compile(r"(?:^|\n)[^\S\n]*(?:\d{1,3}|[A-Za-z])[.:;]$")


def inner_ends(text: str) -> list[int]:
    """Where the sentences and lines of a step end, but for the last one: characters from its start."""
    begins, ends = len(text) - len(text.lstrip()), len(text.rstrip())
    found = [match.end() for match in _PART.finditer(text)]
    return [end for end in found if begins < end < ends and not _MARKER.search(text[:end])]


async def salvaged(thinking: Thinking, chain: Chain, step: Step) -> tuple[Draft | None, list[Known]]:
    """The longest beginning of the rejected `step` that stands after `chain`, and what was measured for it.

    Found by halving, as if all before a mistake stood and nothing after it did: with n parts at most
    log2(n) + 1 verdicts. None if there is no such beginning, or no room for more after it. One that states
    the answer never stays: it would end thinking. Raises EngineError if the base model cannot be asked.
    """
    ends, asked = inner_ends(step.text), list[Known]()
    best: Draft | None = None
    while ends:
        middle = len(ends) // 2
        try:
            begun = await _beginning(thinking, step, ends[middle])
            draft = Draft(begun, await thinking.extended(chain, begun, "small"))
        except DrafterFailed:
            break  # it will be seen again when it is to draft
        verified = await verdict_on(thinking, chain, draft)
        asked.append(verified.known)
        room = thinking.left(draft.after) > 0 and not boxed_answer(begun.text)
        if isinstance(verified.verdict, Accept) and room:
            best, ends = draft, ends[middle + 1 :]
        else:
            ends = ends[:middle]
    return best, asked


async def _beginning(thinking: Thinking, draft: Step, length: int) -> Step:
    """The first `length` characters of a draft, as a step. Raises DrafterFailed."""
    text = draft.text[:length]
    try:
        ids = (await thinking.run.engines["small"].tokenize(text)).ids
    except EngineError as error:
        raise DrafterFailed(error) from error
    # Where the engine tells no tokens they are taken to be as long as the draft's.
    tokens = len(ids) if ids is not None else round(draft.tokens * length / len(draft.text))
    return Step(text, ids, min(tokens, draft.tokens), draft.logprobs[:tokens], "boundary")


def completed(begun: Draft, rest: Step) -> Step:
    """One step of a draft's beginning and what the base model made of it, in its tokens."""
    read = begun.after.prompts["base"].segments[-1].ids
    ids = None if read is None or rest.ids is None else (*read, *rest.ids)
    return Step(begun.step.text + rest.text, ids, begun.step.tokens + rest.tokens, rest.logprobs, rest.end)
