"""The least time that a schedule can take."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.emulate.bounds import SCHEDULES, Schedule, base_alone_s, least_s
from specreason.emulate.profiles import PAPER, PROFILES, Profile
from specreason.emulate.script import Script
from specreason.emulate.tokens import encode

scripts = st.builds(Script, seed=st.integers(0, 99), acceptance=st.floats(0, 1), steps=st.integers(1, 16))
profiles = st.sampled_from(list(PROFILES.values()))
problems = st.integers(0, 99)
TOGETHER = replace(PAPER, beside=1.0)


def answer_s(script: Script, problem: int) -> float:
    return len(encode(script.answer(problem, ()))) * PAPER.base.token_s


def parts(script: Script, problem: int) -> tuple[list[int], list[bool]]:
    steps = range(script.length(problem))
    return [script.step(problem, i, 0).tokens for i in steps], [script.is_good(problem, i, 0) for i in steps]


def test_sequential_is_the_sum_of_its_parts() -> None:
    script = Script(seed=1, acceptance=0.6)
    lengths, good = parts(script, 5)
    assert not all(good)
    expected = answer_s(script, 5)
    for tokens, stands in zip(lengths, good, strict=True):
        expected += tokens * 0.010 + max(0.055, (tokens + 70) / 2000) + (0 if stands else tokens * 0.055)
    assert least_s(script, PAPER, 5, Schedule(), question_tokens=70) == pytest.approx(expected)


def test_lookahead_hides_every_score_but_the_last_when_all_drafts_stand() -> None:
    script = Script(seed=1, acceptance=1)
    lengths, _ = parts(script, 5)
    last = max(0.055, (lengths[-1] + 70) / 2000)
    expected = sum(lengths) * 0.010 + last + answer_s(script, 5)
    assert least_s(script, PAPER, 5, Schedule(lookahead=1), question_tokens=70) == pytest.approx(expected)


def test_a_hedge_that_costs_nothing_takes_no_longer_than_the_base_model() -> None:
    script = Script(seed=1, acceptance=0)
    hedged = least_s(script, TOGETHER, 5, Schedule(hedge=True))
    assert hedged == pytest.approx(base_alone_s(script, TOGETHER, 5))
    lengths, _ = parts(script, 5)
    slower = least_s(script, PAPER, 5, Schedule(hedge=True))
    assert slower - hedged == pytest.approx(sum(lengths) * 0.010 * 0.2)


def test_several_drafts_are_one_batch() -> None:
    script = Script(seed=1, acceptance=1, steps=1)
    tokens = script.step(0, 0, 0).tokens
    expected = tokens * (0.010 + 2 * 0.00005) + 3 * (tokens + 70) / 2000 + answer_s(script, 0)
    assert least_s(script, PAPER, 0, Schedule(drafts=3), question_tokens=70) == pytest.approx(expected)


@given(scripts, profiles, problems)
def test_more_lookahead_is_never_slower(script: Script, profile: Profile, problem: int) -> None:
    for drafts in (1, 3):
        times = [least_s(script, profile, problem, Schedule(n, drafts)) for n in range(5)]
        assert all(later <= earlier + 1e-9 for earlier, later in pairwise(times))


@given(scripts, profiles, problems, st.sampled_from(list(SCHEDULES.values())))
def test_no_schedule_beats_free_drafts(
    script: Script, profile: Profile, problem: int, schedule: Schedule
) -> None:
    """Whatever overlaps, the small model has to write, and the answer has to be written."""
    slowest = base_alone_s(script, profile, problem) + least_s(
        replace(script, acceptance=1), profile, problem, replace(schedule, lookahead=0)
    )
    fastest = len(encode(script.answer(problem, ()))) * profile.base.token_s
    assert fastest < least_s(script, profile, problem, schedule) <= slowest + 1e-9


@pytest.mark.parametrize(("acceptance", "sequential"), [(0.4, 1.23), (0.6, 1.63), (0.8, 2.45)])
def test_the_papers_set_up_gains_what_the_arithmetic_says(acceptance: float, sequential: float) -> None:
    """Steps of 55 tokens, 10 and 55 ms a token, 80 ms a score: the speed-up over the base model."""
    script = Script(seed=4, acceptance=acceptance)
    alone = sum(base_alone_s(script, PAPER, k) for k in range(200))
    times = {name: sum(least_s(script, PAPER, k, s) for k in range(200)) for name, s in SCHEDULES.items()}
    assert alone / times["sequential"] == pytest.approx(sequential, rel=0.06)
    assert times["drafts+lookahead"] < times["drafts"] < times["sequential"]
