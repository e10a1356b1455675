"""How well scores tell right steps from wrong ones: AUC, reliability, and thresholds for a wanted quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from specreason.eval.statistics import Estimate, bootstrap, wilson

_stats: Any = stats  # its annotations are partial
# An unreadable reply rejects the draft: below every score.
UNREADABLE = -1.0


@dataclass(frozen=True, slots=True)
class ScoredStep:
    """One labelled step. `problem` groups steps that are not independent; `score` None: not readable."""

    problem: str
    score: float | None
    right: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """Steps whose scores lie together: their mean score and the share of right ones, with its interval."""

    score: float
    right: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold and what it gives. `confidence`: of `precision` reaching what was wanted, 0 to 1."""

    value: float
    precision: Estimate
    acceptance: Estimate
    wanted: Literal["precision", "acceptance"]
    confidence: float


def auc(steps: Sequence[ScoredStep]) -> Estimate | None:
    """Probability that a right step scores above a wrong one, ties half; None without both kinds."""
    scores, right, groups = _arrays(steps)
    if not right.any() or right.all():
        return None
    values, place = np.unique(scores, return_inverse=True)
    shape = (int(groups.max()) + 1, len(values))
    good, bad = np.zeros(shape), np.zeros(shape)
    np.add.at(good, (groups[right], place[right]), 1)
    np.add.at(bad, (groups[~right], place[~right]), 1)

    def resampled(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        weights = _weights(chosen)
        above, below = weights @ good, weights @ bad
        beaten = np.cumsum(below, axis=1) - below / 2  # wrong steps below each score, ties half
        pairs = above.sum(axis=1) * below.sum(axis=1)
        return (above * beaten).sum(axis=1) / np.where(pairs == 0, np.nan, pairs)

    low, high = bootstrap(resampled, shape[0])
    return Estimate(_auc(scores, right), low, high, len(steps))


def reliability(steps: Sequence[ScoredStep], bins: int = 10) -> list[Bin]:
    """For each range of scores that holds any: how many of its steps are right."""
    told: list[Bin] = []
    readable = [step for step in steps if step.score is not None]
    for number in range(bins):
        some = [s for s in readable if min(bins - 1, int((s.score or 0.0) / 9 * bins)) == number]
        if some:
            right = sum(step.right for step in some)
            low, high = wilson(right, len(some))
            score = float(np.mean([step.score or 0.0 for step in some]))
            told.append(Bin(score, right / len(some), low, high, len(some)))
    return told


def threshold_for(
    steps: Sequence[ScoredStep], *, precision: float | None = None, acceptance: float | None = None
) -> Threshold | None:
    """The lowest threshold that gives the wanted precision, or the highest with the wanted acceptance.

    None if no threshold does. Lower thresholds accept more drafts, so the lowest one is the fastest.
    """
    scores, right, _ = _arrays(steps)
    candidates = sorted({float(s) for s in scores if s > UNREADABLE})
    if precision is not None:
        for value in candidates:
            accepted = scores >= value
            if right[accepted].mean() >= precision:
                return _threshold(steps, value, "precision", precision)
        return None
    wanted = acceptance or 0.0
    fitting = [value for value in candidates if (scores >= value).mean() >= wanted]
    return _threshold(steps, fitting[-1], "acceptance", wanted) if fitting else None


def _threshold(
    steps: Sequence[ScoredStep], value: float, wanted: Literal["precision", "acceptance"], level: float
) -> Threshold:
    scores, right, groups = _arrays(steps)
    accepted = scores >= value
    kept = int(accepted.sum())
    good = int(right[accepted].sum())
    counts = np.zeros((int(groups.max()) + 1, 2))
    np.add.at(counts, (groups, 0), accepted)
    np.add.at(counts, (groups, 1), 1)

    def share(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        summed = _weights(chosen) @ counts
        return summed[:, 0] / summed[:, 1]

    low, high = bootstrap(share, len(counts))
    precision = Estimate(good / kept, *wilson(good, kept), kept)
    acceptance = Estimate(kept / len(steps), low, high, len(steps))
    # Of a uniform prior, what `good` right ones among `kept` say of the share being at least the wanted one.
    confidence = (
        float(_stats.beta.sf(level, good + 1, kept - good + 1)) if wanted == "precision" else float("nan")
    )
    return Threshold(value, precision, acceptance, wanted, confidence)


def _auc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    good, count = int(right.sum()), len(right)
    ranks: NDArray[np.float64] = _stats.rankdata(scores)
    return float((ranks[right].sum() - good * (good + 1) / 2) / (good * (count - good)))


def _weights(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each group is in each resample."""
    return np.stack([np.bincount(row, minlength=chosen.shape[1]) for row in chosen]).astype(np.float64)


def _arrays(
    steps: Sequence[ScoredStep],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Scores, labels, and the number of each step's problem."""
    numbers = {name: n for n, name in enumerate(dict.fromkeys(step.problem for step in steps))}
    scores = np.array([UNREADABLE if s.score is None else s.score for s in steps], dtype=np.float64)
    right = np.array([step.right for step in steps], dtype=np.bool_)
    return scores, right, np.array([numbers[step.problem] for step in steps], dtype=np.int64)
