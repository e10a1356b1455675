"""Figures of a side-by-side run: accuracy, speed-up, acceptance, the judge, the machine's regime."""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from specreason.reasoning.chain import Role
from specreason.reasoning.events import Phase
from specreason_lab.side_by_side import Judged, Solved


@dataclass(frozen=True, slots=True)
class Regime:
    """Where the time goes on this machine; measured, in seconds.

    `decode_ratio`: a token of the base model over one of the small model. `score_ratio`: scoring a step over
    writing it, on the base model. `step`: seconds to draft, to score and to write a step of mean length.
    """

    decode_ratio: float
    score_ratio: float
    step: Mapping[str, float]


def accuracy(rows: Sequence[Solved]) -> float:
    """Share of right answers."""
    return sum(row.right for row in rows) / len(rows) if rows else 0.0


def speedup(base: Sequence[Solved], rows: Sequence[Solved]) -> float:
    """Total time of the base model alone over that of another scheme, on the same problems."""
    return sum(row.seconds for row in base) / sum(row.seconds for row in rows)


def acceptance(rows: Sequence[Solved]) -> float | None:
    """Accepted drafts over drafts, of all problems together."""
    drafts = sum(row.result.drafts for row in rows)
    return sum(row.result.accepted for row in rows) / drafts if drafts else None


def auc(judged: Sequence[Judged]) -> float | None:
    """Probability that a right step scores above a wrong one, ties half; None without both kinds."""
    scored = sorted((j.score if j.score is not None else -1.0, j.right) for j in judged)
    right = sum(good for _, good in scored)
    wrong = len(scored) - right
    if not right or not wrong:
        return None
    ranks, at = 0.0, 0
    while at < len(scored):
        end = at
        while end < len(scored) and scored[end][0] == scored[at][0]:
            end += 1
        ranks += (at + end + 1) / 2 * sum(good for _, good in scored[at:end])
        at = end
    return (ranks - right * (right + 1) / 2) / (right * wrong)


def reliability(judged: Sequence[Judged], bins: int = 9) -> list[tuple[float, float, int]]:
    """For each range of scores: the mean score, the share of right steps, and how many steps."""
    sorted_in: list[list[Judged]] = [[] for _ in range(bins)]
    for j in judged:
        if j.score is not None:
            sorted_in[min(bins - 1, int(j.score / 9 * bins))].append(j)
    return [
        (statistics.fmean(j.score or 0.0 for j in some), sum(j.right for j in some) / len(some), len(some))
        for some in sorted_in
        if some
    ]


def paired_interval(base: Sequence[Solved], rows: Sequence[Solved], seed: int = 0) -> tuple[float, float]:
    """95% interval of the difference in accuracy (rows less base), by bootstrap over problems."""
    one = {row.problem: row.right for row in base}
    differences = [float(row.right) - float(one[row.problem]) for row in rows]
    rng = random.Random(seed)
    means = sorted(statistics.fmean(rng.choices(differences, k=len(differences))) for _ in range(2000))
    return means[math.floor(0.025 * len(means))], means[math.ceil(0.975 * len(means)) - 1]


def regime(base: Sequence[Solved], small: Sequence[Solved], speculated: Sequence[Solved]) -> Regime:
    """The machine's regime, from runs of the three schemes."""
    write = _token_seconds(base, "base", "base")
    draft = _token_seconds(small, "small", "draft")
    judged = sum(len(row.judged) for row in speculated)
    score = sum(row.result.seconds.get("score", 0.0) for row in speculated) / max(1, judged)
    steps = [step.tokens for row in base for step in row.result.steps]
    length = statistics.fmean(steps)
    told = {"draft": draft * length, "score": score, "write": write * length}
    return Regime(write / draft, score / told["write"], told)


def _token_seconds(rows: Sequence[Solved], role: Role, phase: Phase) -> float:
    tokens = sum(step.tokens for row in rows for step in row.result.steps if step.author == role)
    return sum(row.result.seconds.get(phase, 0.0) for row in rows) / max(1, tokens)
