"""From a distribution to a score."""

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.reasoning.signals.digits import CANDIDATES, Method, score

methods: st.SearchStrategy[Method] = st.sampled_from(get_args(Method))
token_texts = st.sampled_from(CANDIDATES) | st.text(max_size=3)
distributions = st.dictionaries(token_texts, st.floats(max_value=1.0) | st.just(math.nan))


@given(distributions, methods)
def test_any_distribution_gives_a_score_in_range_or_none(logprobs: dict[str, float], method: Method) -> None:
    value, coverage, digits = score(logprobs, method)
    assert value is None or 0 <= value <= 9
    assert 0 <= coverage <= 1
    assert sum(digits.values()) == pytest.approx(coverage)


@given(st.floats(min_value=0.01, max_value=1.0), st.sampled_from("0123456789"))
def test_one_digit_alone_is_its_own_mean(p: float, digit: str) -> None:
    assert score({digit: math.log(p)}, "expected")[0] == int(digit)


def test_greedy_takes_the_likeliest_token() -> None:
    value, coverage, digits = score({"7": math.log(0.6), "2": math.log(0.3)}, "greedy")
    assert value == 7
    assert coverage == pytest.approx(0.9)
    assert digits == pytest.approx({"7": 0.6, "2": 0.3})


def test_expected_is_the_mean_over_the_digits() -> None:
    value, _, _ = score({"8": math.log(0.5), "4": math.log(0.25), "x": math.log(0.25)}, "expected")
    assert value == pytest.approx((8 * 0.5 + 4 * 0.25) / 0.75)


def test_a_digit_with_a_space_counts_as_the_digit() -> None:
    value, coverage, digits = score({" 7": math.log(0.5), "7": math.log(0.25)}, "greedy")
    assert (value, coverage) == (7, pytest.approx(0.75))
    assert digits == {"7": pytest.approx(0.75)}


def test_greedy_cannot_read_a_word() -> None:
    value, coverage, _ = score({"yes": math.log(0.6), "9": math.log(0.4)}, "greedy")
    assert value is None
    assert coverage == pytest.approx(0.4)


@pytest.mark.parametrize("method", get_args(Method))
def test_nothing_told_is_unscorable(method: Method) -> None:
    assert score({}, method) == (None, 0, {})


def test_expected_needs_a_hundredth_of_the_probability() -> None:
    assert score({"9": math.log(0.009)}, "expected")[0] is None
    assert score({"9": math.log(0.011)}, "expected")[0] == pytest.approx(9)


def test_two_digits_are_no_score() -> None:
    assert score({"10": 0.0}, "greedy")[0] is None
