"""The least time that a schedule can take for a script on a profile: arithmetic only, nothing is run.

Only what no implementation could avoid is counted: one pass a token, one pass a score, and the order that the
schedule itself demands. Left out are request overheads, prompts to compute for writing, waiting for a pass to
begin and, except in a hedge, the slow-down of models that work side by side.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from specreason.emulate.profiles import Profile, Timing
from specreason.emulate.script import Script
from specreason.emulate.tokens import END, THINK, THINK_END, TURN, encode
from specreason.reasoning.prompts import JUDGE_OPENING, JUDGE_QUESTION

# The paper's form: the assistant's turn is closed, the user asks, and the reply is opened up to the digit.
QUESTION_TOKENS = len(
    encode(
        f"{THINK_END}\n\n{END}\n{TURN}user\n{JUDGE_QUESTION}{END}\n{TURN}assistant\n{THINK}\n{JUDGE_OPENING}"
    )
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What may overlap. The default is one draft after the other, one model at a time.

    `lookahead`: steps that may be drafted beyond the one being judged. `drafts`: drafts of a step, written in
    one batch and scored in one pass when all are there. `hedge`: the base model writes each step too, from
    when its draft is started and the step before it is decided; an accepted draft ends it, and if it is done
    first its step is taken.
    """

    lookahead: int = 0
    drafts: int = 1
    hedge: bool = False


SCHEDULES: Mapping[str, Schedule] = {
    "sequential": Schedule(),
    "lookahead": Schedule(lookahead=4),
    "hedge": Schedule(hedge=True),
    "drafts": Schedule(drafts=3),
    "drafts+lookahead": Schedule(lookahead=4, drafts=3),
}


def base_alone_s(script: Script, profile: Profile, problem: int) -> float:
    """Seconds in which the base model writes all steps and the answer."""
    tokens = sum(script.step(problem, index, None).tokens for index in range(script.length(problem)))
    return (tokens + _answer_tokens(script, problem)) * profile.base.token_s


def least_s(
    script: Script,
    profile: Profile,
    problem: int,
    schedule: Schedule,
    *,
    question_tokens: int = QUESTION_TOKENS,
) -> float:
    """Seconds that `schedule` takes at the least for `problem`, judge and answer included.

    `question_tokens`: what the judge's question adds to each draft (default: the paper's form of it).
    """
    drafted = 0.0  # when the last draft was there
    verdicts: list[float] = [0.0]  # since the last rewrite
    for index in range(script.length(problem)):
        lengths = [script.step(problem, index, sample).tokens for sample in range(schedule.drafts)]
        draft_s = _batch_s(profile.small, lengths)
        score_s = profile.base.pass_s(len(lengths), sum(lengths) + question_tokens * len(lengths))
        # A draft may begin when the step `lookahead` + 1 before it is judged.
        judged = verdicts[max(0, len(verdicts) - 1 - schedule.lookahead)]
        start = max(drafted, judged)
        stands = script.best(problem, index, schedule.drafts) is not None
        own_s = script.step(problem, index, None).tokens * profile.base.token_s
        # Side by side both models are slower; the base model has this much to catch up afterwards.
        slower_s = min(draft_s, own_s) * (profile.beside - 1) if schedule.hedge else 0.0
        drafted = start + draft_s + slower_s
        verdict = max(verdicts[-1], drafted + score_s)
        own = (max(verdicts[-1], start) + slower_s if schedule.hedge else verdict) + own_s
        if stands and verdict <= own:
            verdicts.append(verdict)
        else:
            drafted, verdicts = own, [own]
    return verdicts[-1] + _answer_tokens(script, problem) * profile.base.token_s


def _batch_s(timing: Timing, lengths: list[int]) -> float:
    """Seconds to decode sequences of these lengths that begin together; each leaves the batch at its end."""
    total = 0.0
    edges = sorted({0, *lengths})
    for shorter, longer in pairwise(edges):
        still = sum(length >= longer for length in lengths)
        total += (longer - shorter) * timing.pass_s(still, 0)
    return total


def _answer_tokens(script: Script, problem: int) -> int:
    return len(encode(script.answer(problem, ())))
