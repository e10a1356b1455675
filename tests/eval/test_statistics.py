"""Statistics against scipy and known cases."""

from typing import Any

import numpy as np
import pytest
from scipy import stats as _stats

from specreason.eval.calibration.judging_statistics import ScoredStep, auc, reliability, threshold_for
from specreason.eval.statistics import (
    difference,
    mean,
    per_problem,
    quantile,
    speedup,
    typical_speedup,
    wilson,
)

stats: Any = _stats  # its annotations are partial


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = rng().beta(2, 3, size=120)
    ours = mean(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=rng(1))
    assert ours.value == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.004)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.004)


def test_the_interval_of_a_mean_agrees_with_the_normal_one_on_many_problems() -> None:
    values = rng(2).integers(0, 2, size=2000).astype(float)
    half = 1.96 * values.std(ddof=1) / np.sqrt(2000)
    ours = mean(values, share=True)
    assert ours.high - ours.value == pytest.approx(half, rel=0.1)


def test_samples_of_one_problem_are_no_new_evidence() -> None:
    solved = rng(3).integers(0, 2, size=60).astype(float)
    once = mean(per_problem({n: [v] for n, v in enumerate(solved)}), share=True)
    sixteen_times = mean(per_problem({n: [v] * 16 for n, v in enumerate(solved)}), share=True)
    assert sixteen_times == once


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (37, 50)])
def test_wilson_is_that_of_scipy(right: int, count: int) -> None:
    theirs = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((theirs.low, theirs.high))


def test_all_right_is_not_taken_for_certainty() -> None:
    assert mean(np.ones(20), share=True).low < 0.9


def test_identical_runs_differ_by_nothing() -> None:
    values = rng(4).random(50)
    told = difference(values, values)
    assert (told.value, told.low, told.high) == (0, 0, 0)
    assert not told.certain_sign


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_difference_of_ten_points_on_100_problems_is_covered(seed: int) -> None:
    base = rng(seed).integers(0, 2, size=100).astype(float)
    # Ten wrong answers become right: the truth is exactly 10 points.
    other = base.copy()
    other[np.flatnonzero(base == 0)[:10]] = 1
    told = difference(base, other)
    assert told.value == pytest.approx(0.10)
    assert told.low <= 0.10 <= told.high
    assert told.certain_sign


def test_the_interval_of_a_difference_covers_the_truth_19_times_in_20() -> None:
    covered = 0
    for seed in range(40):
        draw = rng(seed)
        ability = draw.random(100)
        base = (draw.random(100) < ability * 0.8).astype(float)
        other = (draw.random(100) < ability * 0.8 + 0.1).astype(float)
        told = difference(base, other)
        covered += told.low <= 0.10 <= told.high
    assert covered >= 34


def test_speed_ups_are_paired_by_problem() -> None:
    base = np.exp(rng(5).normal(3, 1.5, size=40))
    other = base / 2
    for told in (speedup(base, other), typical_speedup(base, other)):
        # Problems differ a hundredfold, their speed-ups not at all.
        assert (told.value, told.low, told.high) == pytest.approx((2, 2, 2))


def test_the_median_lies_in_its_interval() -> None:
    told = quantile(rng(6).lognormal(size=200), 0.5)
    assert told.low < told.value < told.high


def scored(seed: int, count: int = 200, gap: float = 2.0) -> list[ScoredStep]:
    draw = rng(seed)
    told: list[ScoredStep] = []
    for n in range(count):
        right = bool(draw.random() < 0.6)
        score = float(np.clip(np.round(draw.normal(5 + gap * right, 2)), 0, 9))
        told.append(ScoredStep(f"p{n // 4}", score, right))
    return told


def test_auc_is_the_mann_whitney_statistic() -> None:
    steps = scored(7)
    right = [s.score or 0.0 for s in steps if s.right]
    wrong = [s.score or 0.0 for s in steps if not s.right]
    theirs = stats.mannwhitneyu(right, wrong).statistic / (len(right) * len(wrong))
    told = auc(steps)
    assert told is not None
    assert told.value == pytest.approx(theirs)
    assert told.low < told.value < told.high


def test_auc_of_a_perfect_a_useless_and_a_one_sided_judge() -> None:
    perfect = auc([ScoredStep(str(n), 9.0 if n % 2 else 0.0, bool(n % 2)) for n in range(20)])
    useless = auc([ScoredStep(str(n), 5.0, bool(n % 2)) for n in range(20)])
    assert perfect is not None
    assert useless is not None
    assert (perfect.value, useless.value) == (1.0, 0.5)
    assert auc([ScoredStep("a", 5.0, True)]) is None


def test_reliability_counts_right_steps_by_score() -> None:
    steps = [ScoredStep("a", 9.0, True)] * 3 + [ScoredStep("b", 0.0, True), ScoredStep("b", 0.0, False)]
    low, high = reliability(steps)
    assert (low.score, low.right, low.count) == (0, 0.5, 2)
    assert (high.score, high.right, high.count) == (9, 1, 3)


def test_a_threshold_for_a_wanted_precision_is_the_lowest_that_reaches_it() -> None:
    steps = scored(8, 400, gap=4)
    told = threshold_for(steps, precision=0.9)
    assert told is not None
    lower = [s for s in steps if (s.score or 0) >= told.value - 1]
    assert sum(s.right for s in lower) / len(lower) < 0.9 <= told.precision.value
    assert 0.4 < told.confidence <= 1


def test_a_precision_out_of_reach_gives_no_threshold() -> None:
    assert threshold_for([ScoredStep(str(n), 9.0, bool(n % 2)) for n in range(20)], precision=0.9) is None


def test_a_threshold_for_a_wanted_acceptance_accepts_that_much() -> None:
    told = threshold_for(scored(9), acceptance=0.5)
    assert told is not None
    assert told.acceptance.value >= 0.5


def test_unreadable_replies_count_as_rejected() -> None:
    steps = [ScoredStep("a", None, True), ScoredStep("b", 9.0, True)]
    told = threshold_for(steps, acceptance=0.5)
    assert told is not None
    assert told.acceptance.value == 0.5
