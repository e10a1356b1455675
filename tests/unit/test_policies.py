"""The rules, as the pure functions that they are."""

import pytest

from specreason.reasoning.judge import Score
from specreason.reasoning.policies.contract import (
    Accept,
    Boundary,
    Known,
    More,
    Reject,
    Signal,
    Situation,
    Write,
)
from specreason.reasoning.policies.single import SinglePolicy
from specreason.reasoning.policies.specreason import SpecReasonPolicy
from specreason.reasoning.steps import Step

DRAFT = Step("a\n\n", (1,), 1, (), "boundary")


async def unmeasured(situation: Situation) -> Score:
    raise AssertionError(situation)


SIGNAL = Signal("judge_score", unmeasured)


def knowing(value: float | None) -> Known:
    return Known().plus(SIGNAL, Score(value, "greedy", 1.0, {}))


def test_specreason_asks_for_the_score_first() -> None:
    assert SpecReasonPolicy(SIGNAL).verdict(DRAFT, Known()) == More(SIGNAL)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (9.0, Accept(9.0)),
        (7.0, Accept(7.0)),
        (6.999, Reject("score")),
        (0.0, Reject("score")),
        (None, Reject("unscorable")),
    ],
)
def test_specreason_compares_with_the_threshold(value: float | None, verdict: Accept | Reject) -> None:
    assert SpecReasonPolicy(SIGNAL, 7.0).verdict(DRAFT, knowing(value)) == verdict


def test_threshold_zero_still_rejects_what_is_no_score() -> None:
    policy = SpecReasonPolicy(SIGNAL, 0.0)
    assert policy.verdict(DRAFT, knowing(0.0)) == Accept()
    assert policy.verdict(DRAFT, knowing(None)) == Reject("unscorable")


def test_the_base_model_writes_the_first_n_steps() -> None:
    policy = SpecReasonPolicy(SIGNAL, first_n_base_steps=2)
    authors = [policy.author(Boundary(n), Known()) for n in range(4)]
    assert authors == [Write("base"), Write("base"), Write("small"), Write("small")]


@pytest.mark.parametrize("role", ["base", "small"])
def test_one_model_alone_writes_all_and_is_not_questioned(role: str) -> None:
    policy = SinglePolicy("base" if role == "base" else "small")
    assert (policy.name, policy.roles) == (role, (role,))
    assert policy.author(Boundary(3, (False,)), Known()) == Write(policy.role)
    assert policy.verdict(DRAFT, Known()) == Accept()


def test_signals_are_told_apart_by_identity() -> None:
    twin = Signal("judge_score", unmeasured)
    assert knowing(5).get(twin) is None
