"""How well scores tell right steps from wrong ones: AUC, reliability, and thresholds for a wanted quality."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specreason.eval.statistics import Estimate, bootstrap, wilson

# An unreadable reply rejects the draft: below every score.
UNREADABLE = -1.0
_DRAWS = 20_000
_SEED = 2504


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
    """A threshold, what it gives, and how sure that is: `confidence` that the wish is met, 0 to 1."""

    value: float
    precision: Estimate
    acceptance: Estimate
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
        return _area(weights @ good, weights @ bad)

    low, high = bootstrap(resampled, shape[0])
    return Estimate(float(_area(good.sum(axis=0), bad.sum(axis=0))), low, high, len(steps))


def _area(good: NDArray[np.float64], bad: NDArray[np.float64]) -> NDArray[np.float64]:
    """AUC from how many right and wrong steps have each score, lowest first (last axis)."""
    beaten = np.cumsum(bad, axis=-1) - bad / 2  # wrong steps below each score, ties half
    pairs = good.sum(axis=-1) * bad.sum(axis=-1)
    return (good * beaten).sum(axis=-1) / np.where(pairs == 0, np.nan, pairs)


def reliability(steps: Sequence[ScoredStep], bins: int = 10) -> list[Bin]:
    """For each range of scores that holds any: how many of its steps are right."""
    found: list[Bin] = []
    readable = [step for step in steps if step.score is not None]
    for number in range(bins):
        some = [s for s in readable if min(bins - 1, int((s.score or 0.0) / 9 * bins)) == number]
        if some:
            right = sum(step.right for step in some)
            low, high = wilson(right, len(some))
            score = float(np.mean([step.score or 0.0 for step in some]))
            found.append(Bin(score, right / len(some), low, high, len(some)))
    return found


def threshold_for(
    steps: Sequence[ScoredStep],
    *,
    precision: float | None = None,
    acceptance: float | None = None,
    right_share: float | None = None,
    confidence: float = 0.5,
) -> Threshold | None:
    """The lowest threshold with the wanted precision, or the highest with the wanted acceptance.

    Lower ones accept more drafts, so the lowest is the fastest. A threshold counts only if the wish is met
    with `confidence`; None if none does. `right_share`: how many drafts are right in real use; None: as many
    as among `steps`, which must then be a fair sample of drafts.
    """
    tried = _thresholds(steps, precision, acceptance, right_share)
    return next((found for found in tried if found.confidence >= confidence), None)


def surest(
    steps: Sequence[ScoredStep],
    *,
    precision: float | None = None,
    acceptance: float | None = None,
    right_share: float | None = None,
) -> Threshold | None:
    """Of all thresholds the one that is likeliest to meet the wish, however unlikely; None without scores."""
    tried = _thresholds(steps, precision, acceptance, right_share)
    return max(tried, key=lambda found: found.confidence, default=None)


def _thresholds(
    steps: Sequence[ScoredStep],
    precision: float | None,
    acceptance: float | None,
    right_share: float | None,
) -> Iterator[Threshold]:
    """Every threshold that sets these steps apart, those that are wanted first."""
    candidates = sorted({s.score for s in steps if s.score is not None}, reverse=precision is None)
    for value in candidates:
        yield _threshold(steps, value, precision, acceptance or 0.0, right_share)


def _threshold(
    steps: Sequence[ScoredStep],
    value: float,
    precision: float | None,
    acceptance: float,
    right_share: float | None,
) -> Threshold:
    """What a threshold gives: each share drawn from what the counts say of it (uniform priors)."""
    scores, right, _ = _arrays(steps)
    good, bad = int(right.sum()), int((~right).sum())
    good_kept, bad_kept = int((scores[right] >= value).sum()), int((scores[~right] >= value).sum())
    generator = np.random.default_rng(_SEED)
    passed = generator.beta(good_kept + 1, good - good_kept + 1, _DRAWS)
    slipped = generator.beta(bad_kept + 1, bad - bad_kept + 1, _DRAWS)
    if right_share is None:
        shares = generator.beta(good + 1, bad + 1, _DRAWS)
        share = good / (good + bad)
    else:
        shares, share = np.full(_DRAWS, right_share), right_share
    kept = share * good_kept / max(1, good) + (1 - share) * bad_kept / max(1, bad)
    accepted = shares * passed + (1 - shares) * slipped
    precise = shares * passed / accepted
    met = precise >= precision if precision is not None else accepted >= acceptance
    point = share * good_kept / max(1, good) / kept if kept else 0.0
    return Threshold(
        value,
        _estimate(point, precise, good_kept + bad_kept),
        _estimate(kept, accepted, good + bad),
        float(met.mean()),
    )


def _estimate(value: float, draws: NDArray[np.float64], count: int) -> Estimate:
    low, high = np.quantile(draws, [0.025, 0.975])
    # With few steps what was drawn can lie beside what was counted: all of 20 kept, 84% to 99.9% drawn.
    return Estimate(value, min(value, float(low)), max(value, float(high)), count)


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
