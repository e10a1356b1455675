"""The rules, as the pure functions that they are."""

import pytest

from specreason.reasoning.policies.base_alone import OneModel
from specreason.reasoning.policies.contract import Accept, Drafts, More, Reject, StepStart, Write
from specreason.reasoning.policies.specreason import SpecReasonPolicy
from specreason.reasoning.signals.contract import Context, Measured, Signal, Signals
from specreason.reasoning.signals.digits import Score
from specreason.reasoning.steps import Step

DRAFT = Drafts((Step("a\n\n", (1,), 1, (), "boundary"),))
TWO = Drafts((*DRAFT.steps, Step("b\n\n", (2,), 1, (), "boundary")), favourite=1)


async def unmeasured(context: Context) -> Score:
    raise AssertionError(context)


SIGNAL = Signal("judge_score", "base", unmeasured)


def knowing(*values: float | None) -> Signals:
    scores = (Score(value, 1.0, {}, "greedy") for value in values)
    return Signals(tuple(Measured(SIGNAL, which, score, 0.0) for which, score in enumerate(scores)))


def test_specreason_asks_for_the_score_first() -> None:
    assert SpecReasonPolicy(SIGNAL).verdict(DRAFT, Signals()) == More(SIGNAL)
    assert SpecReasonPolicy(SIGNAL).verdict(TWO, knowing(9.0)) == More(SIGNAL)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (9.0, Accept()),
        (7.0, Accept()),
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
    authors = [policy.author(StepStart(n), Signals()) for n in range(4)]
    assert authors == [Write("base"), Write("base"), Write("small"), Write("small")]


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((8.0, 9.0), Accept(1, standing=2)),
        ((9.0, 9.0), Accept(0, standing=2)),
        ((7.0, 3.0), Accept(0, standing=1)),
        ((5.0, 6.0), Reject("score")),
        ((6.0, None), Reject("unscorable")),
    ],
)
def test_of_several_drafts_the_best_is_accepted(
    scores: tuple[float | None, ...], verdict: Accept | Reject
) -> None:
    assert SpecReasonPolicy(SIGNAL, 7.0).verdict(TWO, knowing(*scores)) == verdict


@pytest.mark.parametrize("role", ["base", "small"])
def test_one_model_alone_writes_all_and_is_not_questioned(role: str) -> None:
    policy = OneModel("base" if role == "base" else "small")
    assert policy.author(StepStart(3, (False,)), Signals()) == Write(policy.role)
    assert policy.verdict(DRAFT, Signals()) == Accept()


def test_signals_are_told_apart_by_identity() -> None:
    twin = Signal("judge_score", "base", unmeasured)
    assert knowing(5).get(twin) is None
