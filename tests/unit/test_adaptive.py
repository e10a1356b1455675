"""Speculating only where it pays, on a clock that is simulated: no engine, no waiting."""

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from specreason.config import ReasoningSettings
from specreason.config.scheme import Role
from specreason.reasoning.events import StepKept, ThinkingEnded
from specreason.reasoning.planning.adaptive import Adaptive
from specreason.reasoning.planning.costs import BATCHED, CROWD, Costs, Mean
from specreason.reasoning.planning.plan import Plan
from specreason.reasoning.planning.possible import possible_plans
from specreason.reasoning.records import StepRecord
from specreason.reasoning.schedules.lookahead import Lookahead

TOKENS = 50


def auto(costs: Costs, **most: Any) -> Adaptive:
    """A planner of which the settings allow so much."""
    plans = possible_plans(ReasoningSettings(**most), in_process=False)
    return Adaptive(costs, plans[-1], plans)


def written(at: float, index: int, seconds: float) -> StepKept:
    """A step of the base model, unasked."""
    return kept(at, index, "base", {"base": seconds})


def drafted(at: float, index: int, draft: float, score: float, write: float | None = None) -> StepKept:
    """A draft that was accepted, or rejected and rewritten in `write` seconds."""
    seconds: dict[Any, float] = {"draft": draft, "score": score}
    if write is None:
        return kept(at, index, "small", seconds, small_tokens=TOKENS, drafts=1, standing=1)
    return kept(at, index, "base", seconds | {"rewrite": write}, drafts=1, discarded=TOKENS)


def kept(at: float, index: int, author: Role, seconds: Any, **record: Any) -> StepKept:
    outcome = "unjudged" if not record else "accepted" if author == "small" else "rejected"
    origin = "base" if not record else "draft" if author == "small" else "rewrite"
    step = StepRecord(index, "x", author, origin, outcome, TOKENS, "boundary", seconds=seconds, **record)
    return StepKept(at, step)


@dataclass
class Machine:
    """Seconds to draft, score and write a step of fifty tokens, and how often a draft stands."""

    draft: float
    score: float
    write: float
    stands: float
    seed: int = 0

    def run(self, planner: Adaptive, steps: int) -> float:
        """Seconds of a run under the plans of `planner`, one thing after the other."""
        rng, at = random.Random(self.seed), 0.0
        for index in range(steps):
            if planner.plan().author == "base":
                at += self.write
                planner.take(written(at, index, self.write))
                continue
            stands = rng.random() < self.stands
            at += self.draft + self.score + (0.0 if stands else self.write)
            planner.take(drafted(at, index, self.draft, self.score, None if stands else self.write))
        return at

    def runs(self, count: int, steps: int) -> float:
        """Seconds of several runs that share what they learn."""
        costs = Costs(BATCHED)
        return sum(self.run(auto(costs), steps) for _ in range(count))


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
        Machine(0.2, 0.1, 1.0, stands=0.0).run(auto(costs), 30)
    later = [Machine(0.2, 0.1, 1.0, stands=1.0).run(auto(costs), 30) for _ in range(30)]
    assert later[-1] < 0.5 * 30


def test_a_useless_drafter_is_seldom_tried() -> None:
    costs = Costs(BATCHED)
    machine = Machine(0.2, 0.1, 1.0, stands=0.0)
    for _ in range(10):
        machine.run(auto(costs), 30)
    assert machine.run(auto(costs), 100) < 1.03 * 100


def test_short_runs_remember_what_failed_before_them() -> None:
    machine = Machine(0.2, 0.35, 1.0, stands=0.0)
    assert machine.runs(100, 5) < 1.02 * 100 * 5


def test_problems_that_the_drafter_fails_do_not_spoil_the_next() -> None:
    """Half of the problems are beyond it, and runs are short: it must not be given up after one of those."""
    costs, rng, spent, always = Costs(BATCHED), random.Random(0), 0.0, 0.0
    for number in range(300):
        machine = Machine(0.2, 0.35, 1.0, stands=rng.choice((0.9, 0.5)), seed=number)
        spent += machine.run(auto(costs), 5)
        always += 5 * (machine.draft + machine.score + (1 - machine.stands) * machine.write)
    assert spent < 1.05 * always


@pytest.mark.parametrize(
    ("most", "wanted"),
    [
        ({"lookahead": 4}, Plan(schedule=Lookahead(4))),
        ({"drafts_per_step": 3}, Plan(drafts=3)),
        ({"on_reject": "hedge"}, Plan()),  # drafts are accepted too often
    ],
)
def test_what_overlaps_is_chosen_by_what_it_comes_to(most: dict[str, Any], wanted: Plan) -> None:
    costs = Costs(BATCHED)
    Machine(0.55, 0.08, 3.0, stands=0.8).run(auto(costs), 60)
    planner = auto(costs, **most)
    planner.plan()
    assert planner.plan() == wanted


def test_the_plan_says_why() -> None:
    planner = auto(Costs())
    assert planner.plan() == Plan("base")
    assert planner.plan().reason == "what the base model needs is not known yet"


def test_the_same_question_gets_the_same_answer() -> None:
    costs = Costs(BATCHED)
    Machine(0.55, 0.08, 3.0, stands=0.6).run(auto(costs), 60)
    planner = auto(costs, lookahead=4, drafts_per_step=3, on_reject="hedge")
    planner.plan()
    assert planner.plan() == planner.plan()


# ---------------------------------------------------------------- estimates


def test_a_run_of_bad_luck_does_not_spoil_a_plan() -> None:
    """Rewrites tell how often drafts fail, which is the same for every plan, not what this plan costs."""
    costs, plan = Costs(BATCHED), Plan(schedule=Lookahead(4))
    Machine(0.55, 0.08, 3.0, stands=0.8).run(auto(costs), 60)
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
    assert perfect.acceptance.value > 0.97
    assert mixed.acceptance.value == pytest.approx(1 / 3, abs=0.03)


def test_drafts_that_always_fail_together_are_no_better_than_one() -> None:
    costs = Costs()
    for step in range(200):
        costs.judged(3 * (step % 2), 3)
    assert costs.fails(3) > 0.9 * costs.fails(1)


def test_the_first_step_under_a_lookahead_says_little_of_it() -> None:
    """Nothing was drafted ahead of it yet. The next ones count."""
    costs, ahead = Costs(BATCHED), Plan(schedule=Lookahead(4))
    planner, at, plans, seen = auto(costs, lookahead=4), 0.0, list[Plan](), list[int]()
    for index in range(5):
        planner.plan()
        plan = planner.plan()  # the loop asks again where a schedule ends
        plans.append(plan)
        if plan.author == "base":
            at += 3.0
            planner.take(written(at, index, 3.0))
        else:
            at += 0.6 if plan.schedule.depth else 0.63
            planner.take(drafted(at, index, 0.55, 0.08))
        seen.append(costs.kept[ahead].seen if ahead in costs.kept else 0)
    assert plans == [Plan("base"), Plan(), ahead, ahead, ahead]
    assert seen == [0, 0, 0, 1, 2]


# ---------------------------------------------------------------- many runs at the same time

MOST = {"lookahead": 4, "drafts_per_step": 3}
SEVERAL = Plan(schedule=Lookahead(4, branches=True), drafts=3)


def learned() -> Costs:
    costs = Costs(BATCHED)
    Machine(0.55, 0.08, 3.0, stands=0.6).run(auto(costs), 60)
    return costs


def planned(runs: list[Adaptive]) -> list[Plan]:
    for run in runs:
        run.plan()
    return [run.plan() for run in runs]


def test_what_nobody_has_tried_one_run_tries_first() -> None:
    costs = learned()
    runs = [auto(costs, **MOST) for _ in range(2)]
    plans = planned(runs)
    assert plans[0] == SEVERAL
    assert plans[1] != SEVERAL


def test_a_crowd_has_few_drafts_judged() -> None:
    costs = learned()
    costs.kept[SEVERAL] = Mean(0.01, 100)
    crowd = [auto(costs, **MOST) for _ in range(CROWD)]
    planned(crowd)
    assert all(plan.drafts == 1 for plan in planned(crowd))


def test_who_is_done_or_gone_makes_room() -> None:
    costs = learned()
    costs.kept[SEVERAL] = Mean(0.01, 100)
    done, gone, last = (auto(costs, **MOST) for _ in range(3))
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
    costs.acceptance = Mean(stands, 50)
    costs.alike = Mean() if alike is None else Mean(alike, 10_000)
    chances = [costs.fails(drafts) for drafts in range(1, 9)]
    assert chances[0] == pytest.approx(1 - stands)
    assert all(-1e-9 <= later <= earlier + 1e-9 for earlier, later in pairwise(chances))
