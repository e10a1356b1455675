"""Problems whose every step can be checked."""

import random
import re
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specreason_lab.problems import (
    FAMILIES,
    HARD_LENGTHS,
    LENGTHS,
    Problem,
    Split,
    corrupted,
    loose_step,
    problem,
    problems,
    reply,
    split_of,
    stated_answer,
)

_STATED = re.compile(r"(.*)gives (\d+)")


def _made(seed: int, steps: int) -> Problem:
    return problem(random.Random(seed), steps)


made = st.builds(_made, st.integers(0, 10**9), st.integers(1, HARD_LENGTHS[1]))


@given(made)
def test_the_right_chain_is_right(told: Problem) -> None:
    steps = told.steps
    assert all(told.right(steps[:n], step) for n, step in enumerate(steps))
    assert not told.right(steps, steps[-1])
    assert steps[-1].endswith("\n</think>\n\n")
    assert all(step.endswith("\n\n") for step in steps)
    assert stated_answer(reply(told.answer)) == told.answer


@given(made, st.integers(0, 10**9), st.data())
def test_a_corrupted_step_is_wrong(told: Problem, seed: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(told.steps) - 1))
    wrong = corrupted(random.Random(seed), told, told.steps[:index])
    assert not told.right(told.steps[:index], wrong)


@given(made, st.data())
def test_the_values_that_the_chain_states_count(told: Problem, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(told.steps) - 1))
    head, value = _STATED.findall(told.steps[index])[0]
    wrong = f"{head}gives {(int(value) + 1) % 100}\n\n"
    # Every step uses the value before it, so the old next step does not follow from the changed one.
    for step in told.steps[index + 1 : index + 2]:
        assert not told.right([*told.steps[:index], wrong], step)


@pytest.mark.parametrize("split", ["train", "dev", "test", "hard"])
def test_a_seed_gives_the_same_problems(split: Split) -> None:
    one, two = (list(islice(problems(5, split), 20)) for _ in range(2))
    assert one == two
    assert one != list(islice(problems(6, split), 20))


def test_no_problem_is_in_two_splits() -> None:
    for split in ("train", "dev", "test"):
        assert all(split_of(told.text) == split for told in islice(problems(1, split), 50))
    assert all(split_of(told.text) == "test" for told in islice(problems(1, "hard"), 50))


def test_lengths_and_families() -> None:
    told = list(islice(problems(3, "test"), 300))
    assert {item.family for item in told} == set(FAMILIES)
    assert {len(item.steps) for item in told} == set(range(LENGTHS[0], LENGTHS[1] + 1))
    hard = list(islice(problems(3, "hard"), 50))
    assert min(len(item.steps) for item in hard if item.family != "sequence") > LENGTHS[1]


def test_a_story_stays_within_its_numbers() -> None:
    for told in islice(problems(4, "train"), 300):
        if told.family == "words":
            assert all(0 < int(_STATED.findall(step)[0][1]) < 100 for step in told.steps)


@given(seed=st.integers(0, 10**6))
def test_a_loose_step_is_right_or_miscalculated(seed: int) -> None:
    told, right = loose_step(random.Random(seed))
    assert told.partition(" gives")[0].partition(" =>")[0] == right.partition(" gives")[0].partition(" =>")[0]
    assert len(told.split()) == len(right.split())
