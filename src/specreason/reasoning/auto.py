"""Speculate as far as it pays, and never lose more than a little to the base model alone.

The plan is the one that is expected to be the fastest (`Costs.seconds`), by what all runs on this pair of
models have learned. What protects from a drafter that is of no use:

- Where drafts are not expected to pay, one is tried only out of a small share of the base model's time
  (`TRIES`), the less the more of them failed (`Costs.hope`), and out of what drafts won lately. The very
  first (`_FREE`) are tried anyway. So it is noticed if they begin to pay, and bad luck is not taken for a bad
  drafter.
- A run that drafts may lag behind the base model alone by `LAG` of its time and by the price of a few drafts
  in vain (`PATIENCE`), no more: one problem may be harder than most. What all runs together have lost is
  bounded by that price too, so that drafts that barely seem to pay do not cost every run its share.
"""

from dataclasses import dataclass, replace

from specreason.reasoning.costs import Costs, Mean
from specreason.reasoning.events import (
    Event,
    StepAccepted,
    StepDrafted,
    StepRejected,
    StepRewritten,
    StepScored,
    ThinkingEnded,
)
from specreason.reasoning.plan import Plan

TRIES = 0.03
LAG = 0.03
PATIENCE = 3
_MOST_SAVED = 8  # drafts in vain that what was won can pay for
_FREE = 9  # steps that are tried whatever the first of them tell, once for a pair of models
# Another plan replaces the present one if it needs less than this share of its time: to draft or not, and
# what overlaps with it.
_CLEARLY, _BETTER = 0.95, 0.98
_BASE, _PLAIN = Plan("base"), Plan("small")


@dataclass(slots=True)
class _Account:
    """Of one run, since its first step: seconds, and what the base model alone would have needed."""

    since: float | None = None
    spent: float = 0.0
    base_alone: float = 0.0


class Auto:
    """Plans one run; `most` bounds what it may ask for. See `plan.Planner`."""

    def __init__(self, costs: Costs, most: Plan) -> None:
        self.most = most
        self._costs = costs
        self._plan = _BASE
        self._begun = True  # the step that is about to be kept is the first one under its plan, or of the run
        self._account = _Account()
        self._drafts = 0  # of the step that is being judged
        self._rewritten = False  # the step that is about to be accepted
        self._arms = sorted(
            {
                Plan("small", lookahead, drafts, hedge, most.branches and bool(lookahead) and drafts > 1)
                for lookahead in (0, most.lookahead)
                for drafts in range(1, most.drafts + 1)
                for hedge in (False, most.hedge)
            },
            key=lambda plan: (plan.lookahead, plan.drafts, plan.hedge),
        )

    def plan(self) -> Plan:
        """See `Planner.plan`."""
        before, self._plan = self._plan, self._next()
        self._begun = self._begun or self._plan != before
        self._costs.follow(self, self._plan)
        return self._plan

    def _next(self) -> Plan:
        costs, account = self._costs, self._account
        if not costs.write.seen:
            return Plan("base", reason="what the base model needs is not known yet")
        if not costs.known:
            return Plan("small", reason="what a draft costs is not known yet")
        open_arms = [plan for plan in self._arms if plan == _PLAIN or costs.lets_in(self, plan)]
        best = min(open_arms, key=costs.seconds)
        if self._plan in open_arms and costs.seconds(best) > _BETTER * costs.seconds(self._plan):
            best = self._plan
        drafts, alone = costs.seconds(best), costs.seconds(_BASE)
        told = f"a step takes {drafts:.3f} s with drafts, {alone:.3f} s without"
        few_in_vain = (PATIENCE - 1) * costs.price()
        lag = account.spent - account.base_alone
        late = lag > LAG * account.base_alone + few_in_vain
        if drafts > (_CLEARLY * alone if self._plan == _BASE else alone):
            if late or (costs.saved < costs.price() and not self._free):
                return Plan("base", reason=told)
            return Plan("small", reason=f"one try: {told}")
        if late or costs.saved < -few_in_vain:
            behind = max(lag, -costs.saved)
            return Plan("base", reason=f"{behind:.2f} s behind the base model alone")
        return replace(best, reason=told)

    @property
    def _free(self) -> bool:
        return self._costs.judged_steps < _FREE

    def take(self, event: Event) -> None:
        """See `Planner.take`. Where things overlap, only what the plan comes to is learned."""
        costs, plain = self._costs, self._plan == _PLAIN
        match event:
            case StepDrafted():
                self._drafts += 1
                if plain and event.tokens:
                    costs.draft.take(event.seconds / event.tokens)
            case StepScored() if plain:
                costs.score.take(event.seconds)
            case StepRejected():
                self._judged(0)
            case StepRewritten():
                self._rewritten = True
                if event.tokens and not self._plan.hedge:
                    costs.write.take(event.seconds / event.tokens)
            case StepAccepted() if event.tokens:
                if event.author == "small":
                    self._judged(event.stood)
                elif self._plan == _BASE:
                    costs.write.take(event.seconds / event.tokens)
                self._kept(event)
            case ThinkingEnded():
                costs.leave(self)
            case _:
                pass

    def _judged(self, stood: int) -> None:
        self._costs.judged(stood, max(stood, self._drafts))
        self._drafts = 0

    def _kept(self, event: StepAccepted) -> None:
        costs, account = self._costs, self._account
        rewritten, self._rewritten = self._rewritten, False
        begun, self._begun = self._begun, False
        costs.step.take(event.tokens)
        alone = costs.write.value * event.tokens
        costs.saved = min(costs.saved + TRIES * costs.hope * alone, _MOST_SAVED * costs.price())
        first = account.since is None
        if account.since is None:
            # It waited for the prompt, which every scheme must read, so what it took is arithmetic.
            usual = costs.usual(self._plan, rewritten) * event.tokens
            account.since = event.at - usual
        seconds = event.at - account.since - account.spent
        if self._plan.author == "small":
            least = 0.0 if self._free else -PATIENCE * costs.price()
            costs.saved = max(least, costs.saved + alone - seconds)
        account.spent += seconds
        account.base_alone += alone
        if first or (begun and self._plan.lookahead):
            return  # it says little of the plan: nothing was drafted ahead of it yet
        if event.author == "small":
            costs.kept.setdefault(self._plan, Mean()).take(seconds / event.tokens)
        elif rewritten:
            costs.rewritten.setdefault(self._plan, Mean()).take(seconds / event.tokens)
