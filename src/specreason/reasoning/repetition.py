"""Whether a chain goes round in a circle."""

from collections.abc import Sequence

from specreason.reasoning.steps import Step, normalised

_LONGEST_CYCLE = 4
REMEMBERED = 2 * _LONGEST_CYCLE - 1
"""How many of the latest steps it takes to know."""


def repeats(recent: Sequence[str], step: Step) -> bool:
    """Whether `step` is the last step again, or ends a second round of a cycle of 2 to 4 steps.

    `recent`: the texts of the latest steps, white space folded, newest last.
    """
    texts = (*recent, normalised(step.text))
    if not texts[-1] and (step.end in {"stop", "think_close"} or not step.tokens):
        return False  # nothing was left to say, or no room to say it
    return any(
        texts[-period:] == texts[-2 * period : -period]
        for period in range(1, _LONGEST_CYCLE + 1)
        if len(texts) >= 2 * period
    )
