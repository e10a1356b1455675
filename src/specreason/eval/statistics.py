"""Figures with their uncertainty. The unit of chance is the problem: more samples of it are no new evidence.

So every interval comes from a bootstrap over problems (percentile, 95%), each problem first averaged over its
samples; where all problems agree and a bootstrap would claim certainty, Wilson's interval takes its place.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL = 0.95
_RESAMPLES = 4000
_SEED = 20_250_401
# Resampled indices at once: bounds the memory on many problems.
_BATCH = 2_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95% interval, from `count` problems."""

    value: float
    low: float
    high: float
    count: int

    @property
    def certain_sign(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def per_problem(values: Mapping[int, Sequence[float]]) -> Floats:
    """The mean of each problem's samples, in the order of the problems."""
    return np.array([float(np.mean(values[problem])) for problem in sorted(values)])


def mean(problems: Floats, *, share: bool = False) -> Estimate:
    """The mean over problems; `share`: it is one of right answers, between 0 and 1."""
    value = float(problems.mean())
    if share and bool(np.all(problems == 0) or np.all(problems == 1)):
        low, high = wilson(int(problems.sum()), len(problems))
        return Estimate(value, low, high, len(problems))
    low, high = bootstrap(lambda chosen: problems[chosen].mean(axis=-1), len(problems))
    return Estimate(value, low, high, len(problems))


def difference(a: Floats, b: Floats) -> Estimate:
    """Mean of `b` less `a`, paired by problem."""
    return mean(b - a)


def speedup(base: Floats, other: Floats) -> Estimate:
    """Times faster: total seconds of `base` over those of `other`, on the same problems, paired."""
    low, high = bootstrap(lambda chosen: base[chosen].sum(axis=-1) / other[chosen].sum(axis=-1), len(base))
    return Estimate(float(base.sum() / other.sum()), low, high, len(base))


def typical_speedup(base: Floats, other: Floats) -> Estimate:
    """Geometric mean of the problems' own speed-ups: every problem counts alike, long or short."""
    logs = np.log(base) - np.log(other)
    low, high = bootstrap(lambda chosen: np.exp(logs[chosen].mean(axis=-1)), len(logs))
    return Estimate(float(np.exp(logs.mean())), low, high, len(logs))


def quantile(problems: Floats, q: float) -> Estimate:
    """A quantile over problems, for example the median."""
    low, high = bootstrap(lambda chosen: np.quantile(problems[chosen], q, axis=-1), len(problems))
    return Estimate(float(np.quantile(problems, q)), low, high, len(problems))


def bootstrap(statistic: Callable[[NDArray[np.int64]], Any], count: int) -> tuple[float, float]:
    """The percentile interval of a statistic of resampled problems.

    `statistic` gets rows of indices below `count` and gives one value a row.
    """
    if count < 2:
        value = float(np.asarray(statistic(np.zeros((1, count), dtype=np.int64)))[0])
        return value, value
    generator = np.random.default_rng(_SEED)
    rows = max(1, min(_RESAMPLES, _BATCH // count))
    values: list[Floats] = []
    for start in range(0, _RESAMPLES, rows):
        chosen = generator.integers(0, count, size=(min(rows, _RESAMPLES - start), count))
        values.append(np.asarray(statistic(chosen), dtype=np.float64))
    low, high = np.nanquantile(np.concatenate(values), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95% interval of a share of independent trials."""
    if not count:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def missed_by_chance(count: int) -> float:
    """How large a share of differing problems `count` alike ones still leave possible, at 95%."""
    return 1.0 if not count else 1 - (1 - LEVEL) ** (1 / count)
