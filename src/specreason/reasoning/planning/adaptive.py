"""Speculate as far as it pays, and never lose more than a little to the base model alone.

The plan is the one that is expected to be the fastest (`Costs.seconds`), by what all runs on this pair of
models have learned. What protects from a drafter that is of no use:

- Where drafts are not expected to pay, one is tried only out of a small share of the base model's time
  (`TRIES`), the less the more of them failed (`Costs.trial_share`), and out of what drafts won lately. The
  very first (`_FREE`) are tried anyway. So it is noticed if they begin to pay, and bad luck is not taken for
  a bad drafter.
- A run that drafts may lag behind the base model alone by `LAG` of its time and by the price of a few drafts
  in vain (`IN_VAIN`), no more: one problem may be harder than most. What all runs together have
  lost is bounded by that price too, so that drafts that barely seem to pay do not cost every run its share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from specreason.reasoning.events import Event, StepKept, ThinkingEnded
from specreason.reasoning.planning.costs import Costs, Mean
from specreason.reasoning.planning.plan import Plan
from specreason.reasoning.records import StepRecord

TRIES = 0.03
LAG = 0.03
IN_VAIN = 3
_MOST_SAVED = 8  # drafts in vain that what was won can pay for
_FREE = 9  # steps that are tried whatever the first of them tell, once for a pair of models
# Another plan replaces the present one if it needs less than this share of its time: to draft or not, and
# what overlaps with it.
_CLEARLY, _BETTER = 0.95, 0.98
_BASE = Plan("base")


@dataclass(slots=True)
class _Account:
    """Of one run, since its first step: seconds, and what the base model alone would have needed."""

    since: float | None = None
    spent: float = 0.0
    base_alone: float = 0.0


class Adaptive:
    """Plans one run by what `costs` have learned; `choices` are the plans to choose among. See `Planner`."""

    def __init__(self, costs: Costs, most: Plan, choices: Sequence[Plan]) -> None:
        self.most = most
        self._costs = costs
        self._choices = choices
        self._plainest = choices[0]
        self._plan = _BASE
        self._first = True  # the step that is about to be kept is the first one under its plan, or of the run
        self._account = _Account()

    def plan(self) -> Plan:
        """See `Planner.plan`."""
        before, self._plan = self._plan, self._next()
        self._first = self._first or self._plan != before
        self._costs.follow(self, self._plan)
        return self._plan

    def _next(self) -> Plan:
        costs, account = self._costs, self._account
        if not costs.write.seen:
            return Plan("base", reason="what the base model needs is not known yet")
        few_in_vain = (IN_VAIN - 1) * costs.price()
        lag = account.spent - account.base_alone
        late = lag > LAG * account.base_alone + few_in_vain
        behind = f"{max(lag, -costs.saved):.2f} s behind the base model alone"
        if not costs.known:
            # A policy may look at place after place and let the base model write: that costs, too.
            no_look = late or (costs.look.seen > _FREE and costs.saved < costs.look.value)
            plan = _BASE if no_look and costs.look.seen else self._plainest
            return replace(plan, reason=behind if plan == _BASE else "what a draft costs is not known yet")
        possible = [plan for plan in self._choices if plan == self._plainest or costs.lets_in(self, plan)]
        best = min(possible, key=costs.seconds)
        if self._plan in possible and costs.seconds(best) > _BETTER * costs.seconds(self._plan):
            best = self._plan
        drafts, alone = costs.seconds(best), costs.seconds(_BASE)
        figures = f"a step takes {drafts:.3f} s with drafts, {alone:.3f} s without"
        if drafts > (_CLEARLY * alone if self._plan == _BASE else alone):
            no_try = late or (costs.saved < costs.price() and not self._free)
            plan = _BASE if no_try else self._plainest
            return replace(plan, reason=figures if no_try else f"one try: {figures}")
        if late or costs.saved < -few_in_vain:
            return Plan("base", reason=behind)
        return replace(best, reason=figures)

    @property
    def _free(self) -> bool:
        return self._costs.judged_steps < _FREE

    def take(self, event: Event) -> None:
        """See `Planner.take`."""
        match event:
            case StepKept(step=step) if step.tokens:
                self._learn(step)
                self._account_for(step, event.at)
            case ThinkingEnded():
                self._costs.leave(self)
            case _:
                pass

    def _learn(self, step: StepRecord) -> None:
        """Learn the parts of a step. Where things overlap, only what the plan comes to is learned."""
        costs = self._costs
        if step.drafts:
            costs.judged(step.standing, step.drafts)
            drafted = step.small_tokens + step.discarded
            if self._plan == self._plainest and drafted:
                costs.draft.take(step.seconds.get("draft", 0.0) / drafted)
                costs.verdict.take(step.seconds.get("score", 0.0))
        if self._plan != _BASE and step.origin == "base":
            costs.look.take(step.seconds.get("score", 0.0))
        if step.base_tokens:
            if self._plan == _BASE:
                costs.write.take(step.seconds["base"] / step.base_tokens)
            elif "rewrite" in step.seconds and not self._plan.repair.beside:
                costs.write.take(step.seconds["rewrite"] / step.base_tokens)

    def _account_for(self, step: StepRecord, at: float) -> None:
        costs, account = self._costs, self._account
        rewritten = step.outcome == "rejected"
        first_of_plan, self._first = self._first, False
        costs.step.take(step.tokens)
        alone = costs.write.value * step.tokens
        costs.saved = min(costs.saved + TRIES * costs.trial_share * alone, _MOST_SAVED * costs.price())
        first = account.since is None
        if account.since is None:
            # It waited for the prompt, which every scheme must read, so what it took is arithmetic.
            look = step.seconds.get("score", 0.0) if step.origin == "base" else 0.0
            account.since = at - costs.usual(self._plan, rewritten) * step.tokens - look
        seconds = at - account.since - account.spent
        if self._plan.author == "small":
            least = 0.0 if self._free else -IN_VAIN * costs.price()
            costs.saved = max(least, costs.saved + alone - seconds)
        account.spent += seconds
        account.base_alone += alone
        if first or (first_of_plan and self._plan.schedule.depth):
            return  # it says little of the plan: nothing was drafted ahead of it yet
        if step.author == "small":
            costs.kept.setdefault(self._plan, Mean()).take(seconds / step.tokens)
        elif rewritten:
            costs.rewritten.setdefault(self._plan, Mean()).take(seconds / step.tokens)
