"""Speculating only where it pays, on a clock that is simulated: no engine, no waiting."""

import random
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from specreason.reasoning.auto import Auto
from specreason.reasoning.costs import BATCHED, CROWD, Costs, Mean
from specreason.reasoning.events import (
    DrafterLost,
    Planned,
    StepAccepted,
    StepDrafted,
    StepRejected,
    StepRewritten,
    StepScored,
    ThinkingEnded,
)
from specreason.reasoning.plan import Plan
from specreason.reasoning.result import fold

TOKENS = 50


@dataclass
class Machine:
    """Seconds to draft, score and write a step of fifty tokens, and how often a draft stands."""

    draft: float
    score: float
    write: float
    stands: float
    seed: int = 0

    def run(self, auto: Auto, steps: int) -> float:
        """Seconds of a run under the plans of `auto`, one thing after the other."""
        rng, at = random.Random(self.seed), 0.0
        for index in range(steps):
            if auto.plan().author == "base":
                at += self.write
                auto.take(StepAccepted(at, index, "base", "x", TOKENS, self.write, "boundary"))
                continue
            at += self.draft + self.score
            auto.take(StepDrafted(at, index, "x", TOKENS, self.draft, "boundary"))
            auto.take(StepScored(at, index, 5, "greedy", 1, {}, self.score))
            if rng.random() < self.stands:
                auto.take(StepAccepted(at, index, "small", "x", TOKENS, self.draft, "boundary", stood=1))
            else:
                auto.take(StepRejected(at, index, "score", TOKENS))
                at += self.write
                auto.take(StepRewritten(at, index, "x", TOKENS, self.write, "boundary"))
                auto.take(StepAccepted(at, index, "base", "x", TOKENS, self.write, "boundary"))
        return at

    def runs(self, count: int, steps: int) -> float:
        """Seconds of several runs that share what they learn."""
        costs = Costs(BATCHED)
        return sum(self.run(Auto(costs, Plan()), steps) for _ in range(count))


@given(price=st.floats(0.05, 1.2), split=st.floats(0.1, 0.9))
@settings(max_examples=50, deadline=None)
def test_a_drafter_of_no_use_costs_less_than_a_twentieth(price: float, split: float) -> None:
    machine = Machine(price * split, price * (1 - split), write=1.0, stands=0.0)
    assert machine.runs(20, 30) < 1.05 * 20 * 30 * machine.write


@given(price=st.floats(0.05, 0.8))
@settings(max_examples=50, deadline=None)
def test_a_perfect_drafter_is_used_nearly_always(price: float) -> None:
    machine = Machine(price / 2, price / 2, write=1.0, stands=1.0)
    assert machine.runs(20, 30) < 1.05 * 20 * 30 * price


@given(stands=st.floats(0, 1), price=st.floats(0.1, 1.5), seed=st.integers(0, 99))
@example(stands=0.875, price=0.90625, seed=70)  # each run lost a little, and the next one knew nothing of it
@settings(max_examples=80, deadline=None)
def test_whatever_the_drafter_the_base_model_alone_is_hardly_faster(
    stands: float, price: float, seed: int
) -> None:
    machine = Machine(price / 2, price / 2, write=1.0, stands=stands, seed=seed)
    assert machine.runs(20, 30) < 1.05 * 20 * 30 * machine.write


def test_a_drafter_that_recovers_is_noticed() -> None:
    costs = Costs(BATCHED)
    for _ in range(10):
        Machine(0.2, 0.1, 1.0, stands=0.0).run(Auto(costs, Plan()), 30)
    later = [Machine(0.2, 0.1, 1.0, stands=1.0).run(Auto(costs, Plan()), 30) for _ in range(30)]
    assert later[-1] < 0.5 * 30


def test_a_useless_drafter_is_seldom_tried() -> None:
    costs = Costs(BATCHED)
    machine = Machine(0.2, 0.1, 1.0, stands=0.0)
    for _ in range(10):
        machine.run(Auto(costs, Plan()), 30)
    assert machine.run(Auto(costs, Plan()), 100) < 1.03 * 100


def test_short_runs_remember_what_failed_before_them() -> None:
    machine = Machine(0.2, 0.35, 1.0, stands=0.0)
    assert machine.runs(100, 5) < 1.02 * 100 * 5


def test_problems_that_the_drafter_fails_do_not_spoil_the_next() -> None:
    """Half of the problems are beyond it, and runs are short: it must not be given up after one of those."""
    costs, rng, spent, always = Costs(BATCHED), random.Random(0), 0.0, 0.0
    for number in range(300):
        machine = Machine(0.2, 0.35, 1.0, stands=rng.choice((0.9, 0.5)), seed=number)
        spent += machine.run(Auto(costs, Plan()), 5)
        always += 5 * (machine.draft + machine.score + (1 - machine.stands) * machine.write)
    assert spent < 1.05 * always


@pytest.mark.parametrize(
    ("most", "wanted"),
    [
        (Plan(lookahead=4), Plan(lookahead=4)),
        (Plan(drafts=3), Plan(drafts=3)),
        (Plan(hedge=True), Plan()),  # drafts stand too often
    ],
)
def test_what_overlaps_is_chosen_by_what_it_comes_to(most: Plan, wanted: Plan) -> None:
    costs = Costs(BATCHED)
    Machine(0.55, 0.08, 3.0, stands=0.8).run(Auto(costs, Plan()), 60)
    auto = Auto(costs, most)
    auto.plan()
    assert auto.plan() == wanted


def test_the_plan_says_why() -> None:
    auto = Auto(Costs(), Plan())
    assert auto.plan() == Plan("base")
    assert auto.plan().reason == "what the base model needs is not known yet"


def test_what_auto_chose_is_no_reason_any_more_once_the_drafter_is_lost() -> None:
    def kept(index: int) -> StepAccepted:
        return StepAccepted(1.0, index, "base", "x", TOKENS, 1.0, "boundary")

    planned = Planned(0.0, 0, "base", 0, 1, False, "a step takes 3 s with drafts, 2 s without")
    steps = fold([planned, kept(0), DrafterLost(1.0, "gone"), kept(1)]).steps
    assert [step.plan for step in steps] == [planned.reason, None]


def test_the_same_question_gets_the_same_answer() -> None:
    costs = Costs(BATCHED)
    Machine(0.55, 0.08, 3.0, stands=0.6).run(Auto(costs, Plan()), 60)
    auto = Auto(costs, Plan("small", 4, 3, True))
    auto.plan()
    assert auto.plan() == auto.plan()


# ---------------------------------------------------------------- estimates


def test_a_run_of_bad_luck_does_not_spoil_a_plan() -> None:
    """Rewrites tell how often drafts fail, which is the same for every plan, not what this plan costs."""
    costs, plan = Costs(BATCHED), Plan("small", lookahead=4)
    Machine(0.55, 0.08, 3.0, stands=0.8).run(Auto(costs, Plan()), 60)
    other = Plan("small")
    before = costs.seconds(plan) / costs.seconds(other)
    for _ in range(5):
        costs.judged(0, 1)
    assert costs.seconds(plan) / costs.seconds(other) == pytest.approx(before, abs=0.1)


def test_how_many_drafts_stood_is_more_than_that_one_did() -> None:
    perfect, mixed = Costs(), Costs()
    for _ in range(25):
        perfect.judged(3, 3)
        mixed.judged(1, 3)
    assert perfect.stands.value > 0.97
    assert mixed.stands.value == pytest.approx(1 / 3, abs=0.03)


def test_drafts_that_always_fail_together_are_no_better_than_one() -> None:
    costs = Costs()
    for step in range(200):
        costs.judged(3 * (step % 2), 3)
    assert costs.fails(3) > 0.9 * costs.fails(1)


def test_the_first_step_under_a_lookahead_says_little_of_it() -> None:
    """Nothing was drafted ahead of it yet. The next ones count."""
    costs, ahead = Costs(BATCHED), Plan(lookahead=4)
    auto, at, plans, seen = Auto(costs, ahead), 0.0, list[Plan](), list[int]()
    for index in range(5):
        auto.plan()
        plan = auto.plan()  # the loop asks again where a schedule ends
        plans.append(plan)
        if plan.author == "base":
            at += 3.0
            auto.take(StepAccepted(at, index, "base", "x", TOKENS, 3.0, "boundary"))
        else:
            at += 0.6 if plan.lookahead else 0.63
            auto.take(StepDrafted(at, index, "x", TOKENS, 0.55, "boundary"))
            auto.take(StepScored(at, index, 5, "greedy", 1, {}, 0.08))
            auto.take(StepAccepted(at, index, "small", "x", TOKENS, 0.55, "boundary", stood=1))
        seen.append(costs.kept[ahead].seen if ahead in costs.kept else 0)
    assert plans == [Plan("base"), Plan(), ahead, ahead, ahead]
    assert seen == [0, 0, 0, 1, 2]


# ---------------------------------------------------------------- many runs at the same time

SEVERAL = Plan("small", lookahead=4, drafts=3)


def learned() -> Costs:
    costs = Costs(BATCHED)
    Machine(0.55, 0.08, 3.0, stands=0.6).run(Auto(costs, Plan()), 60)
    return costs


def planned(runs: list[Auto]) -> list[Plan]:
    for run in runs:
        run.plan()
    return [run.plan() for run in runs]


def test_what_nobody_has_tried_one_run_tries_first() -> None:
    costs = learned()
    runs = [Auto(costs, SEVERAL) for _ in range(2)]
    plans = planned(runs)
    assert plans[0] == SEVERAL
    assert plans[1] != SEVERAL


def test_a_crowd_has_few_drafts_judged() -> None:
    costs = learned()
    costs.kept[SEVERAL] = Mean(0.01, 100)
    crowd = [Auto(costs, SEVERAL) for _ in range(CROWD)]
    planned(crowd)
    assert all(plan.drafts == 1 for plan in planned(crowd))


def test_who_is_done_or_gone_makes_room() -> None:
    costs = learned()
    costs.kept[SEVERAL] = Mean(0.01, 100)
    done, gone, last = (Auto(costs, SEVERAL) for _ in range(3))
    planned([done, gone, last])
    assert last.plan().drafts == 1
    done.take(ThinkingEnded(1.0, "closed", 3, 100))
    del gone
    assert last.plan() == SEVERAL


@given(stands=st.floats(0, 1), alike=st.none() | st.floats(0, 1))
def test_more_drafts_fail_less_often_but_never_less_than_hard_steps(
    stands: float, alike: float | None
) -> None:
    costs = Costs()
    costs.stands = Mean(stands, 50)
    costs.alike = Mean() if alike is None else Mean(alike, 10_000)
    chances = [costs.fails(drafts) for drafts in range(1, 9)]
    assert chances[0] == pytest.approx(1 - stands)
    assert all(-1e-9 <= later <= earlier + 1e-9 for earlier, later in pairwise(chances))
