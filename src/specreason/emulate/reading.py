"""What a prompt asks an emulated model for: the next step, the answer, or a rating of the last step.

Everything is found in the prompt's text, so a server needs no memory of a conversation, and a prompt means
the same whoever sends it, as text or as token ids.
"""

import re
from dataclasses import dataclass
from typing import Literal

from specreason.emulate.tokens import END, THINK, THINK_END, TURN
from specreason.reasoning.prompts import ANSWER_CUE, INLINE_JUDGE, JUDGE_OPENING

_PROBLEM = re.compile(r"\bproblem\s+(?:no\.?\s*|number\s+|#)?(\d{1,12})\b", re.IGNORECASE)
_MARK = re.compile(r"Step (\d{1,9}) \((?:base|draft (\d{1,12}))\):")
# A judge's question, in whatever words: it wants a rating, and names the ends of the scale.
_RATING = re.compile(
    r"(?=.*\b(?:rate|rating|score|evaluate)\b)(?=.*\b0\b)(?=.*\b9\b)", re.IGNORECASE | re.DOTALL
)
_OPENED = f"{TURN}assistant\n"


@dataclass(frozen=True, slots=True)
class Mark:
    """A step found in a prompt: its number, from 0, and which draft it is (None: the base model's)."""

    index: int
    sample: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """See the module.

    `started`: what is there already of the step or answer to write. `in_step`: so much of a step is there
    that it is named, and the last of those kept.
    """

    problem: int
    asks: Literal["step", "answer", "score"]
    kept: tuple[Mark, ...]
    started: str = ""
    in_step: bool = False

    @property
    def next_index(self) -> int:
        """The number of the step after those kept, from 0."""
        return self.kept[-1].index + 1 if self.kept else 0


def read(prompt: str) -> Reading:
    """What `prompt` asks for. A prompt that names no "problem N" is about problem 0."""
    asked, chain, rated = _turns(prompt)
    problems = _PROBLEM.findall(asked)
    problem = int(problems[-1]) if problems else 0
    marks = list(_MARK.finditer(chain))
    kept = tuple(Mark(int(m[1]) - 1, None if m[2] is None else int(m[2])) for m in marks)
    if rated:
        return Reading(problem, "score", kept)
    if THINK_END in chain:
        return Reading(problem, "answer", kept, chain.rpartition(THINK_END)[2])
    if chain.endswith(ANSWER_CUE):
        return Reading(problem, "answer", kept, ANSWER_CUE)
    started = chain.rpartition("\n\n")[2].removeprefix(f"{THINK}\n")
    return Reading(problem, "step", kept, started, in_step=_MARK.match(started) is not None)


def _turns(prompt: str) -> tuple[str, str, bool]:
    """What the user asked, the reply so far, and whether a rating of that reply is asked for."""
    before, opened, chain = prompt.rpartition(_OPENED)
    if not opened:  # no template: the reply begins with the first step
        first = _MARK.search(prompt)
        at = first.start() if first else len(prompt)
        asked, chain = prompt[:at], prompt[at:]
        return asked, chain, chain.endswith((JUDGE_OPENING, INLINE_JUDGE))
    question = before.rpartition(f"{TURN}user\n")[2]
    earlier, replied, reply = before.rpartition(_OPENED)
    if replied and _MARK.search(reply) and _RATING.match(question):
        return earlier, reply.partition(END)[0], True
    return before, chain, chain.endswith(INLINE_JUDGE)
