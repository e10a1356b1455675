"""What steps cost and how drafts fare: estimates for one pair of models, shared by all its runs."""

from dataclasses import dataclass, field
from weakref import WeakSet

from specreason.reasoning.planning.plan import Plan

# How much dearer a second draft or score makes a call. Where models run in batches hardly (decoding is bound
# by memory); where they share a few cores it is nearly as dear as the first. Only a start: see `seconds`.
BATCHED, SHARED_CORES = 0.05, 0.8
_SLOWED = 1.2  # both models at work at the same time, before anything was measured
# Drafts that all runs on a base model have judged at a time: with more, scores take turns with the decoding
# of steps. A guess for one large model on a GPU: eight drafts and their questions are about 1,000 tokens.
CROWD = 8
_GUESS_WORTH = 2  # drafts that weigh as much as the guess of how many are accepted
_TRUST = 1.0  # steps that weigh as much as the arithmetic
_HOPELESS = 20  # drafts in vain after which tries do not get any rarer
_GUESSED = 8.0  # failures that weigh as much as the guess of how alike they are


@dataclass(slots=True)
class Mean:
    """A mean that forgets: `newest` is what the newest of many observations weighs."""

    value: float = 0.0
    seen: int = 0
    newest: float = 0.05

    def take(self, value: float) -> None:
        """One more observation."""
        self.seen += 1
        self.value += max(1 / self.seen, self.newest) * (value - self.value)


_NOTHING = Mean()


def mixed(measured: Mean, guess: float, worth: float) -> float:
    """What was measured, and a guess that is worth so many observations."""
    return (measured.seen * measured.value + worth * guess) / (measured.seen + worth)


@dataclass(slots=True)
class Costs:
    """Seconds and chances.

    What a plan comes to is never averaged as a whole: whether drafts are accepted varies from step to step
    and says the same of every plan, while what a step of either kind takes hardly varies, and only its plan
    shows it.
    """

    more: float = BATCHED
    """What a further draft, or work beside other work, adds, as a share."""
    write: Mean = field(default_factory=Mean)
    """Seconds a token of the base model."""
    draft: Mean = field(default_factory=Mean)
    """Seconds a token of the small model."""
    verdict: Mean = field(default_factory=Mean)
    """Seconds from a draft to its verdict, whatever was measured for it."""
    look: Mean = field(default_factory=Mean)
    """Seconds of measuring a place where the base model then wrote."""
    step: Mean = field(default_factory=Mean)
    """Tokens of a step."""
    # A guess to begin with. Slow to forget: the drafts of one problem fare alike, and the next is another.
    acceptance: Mean = field(default_factory=lambda: Mean(0.6, _GUESS_WORTH, newest=0.02))
    """Share of drafts that are accepted."""
    alike: Mean = field(default_factory=Mean)
    """Of the other drafts of a step, the share that fails where one does."""
    kept: dict[Plan, Mean] = field(default_factory=dict[Plan, Mean])
    """By plan, seconds a token of accepted drafts."""
    rewritten: dict[Plan, Mean] = field(default_factory=dict[Plan, Mean])
    """By plan, seconds a token of steps whose drafts were rejected."""
    saved: float = 0.0
    """Seconds that may be spent on drafts that are not expected to pay; below nothing: what drafts cost more
    than they brought."""
    in_vain: int = 0
    """Drafts since one was accepted."""
    at_work: dict[Plan, WeakSet[object]] = field(default_factory=dict[Plan, WeakSet[object]])
    """By plan, the runs that follow it."""

    def follow(self, run: object, plan: Plan) -> None:
        """From now on `run` follows `plan`. A run that was given up leaves by itself."""
        self.leave(run)
        self.at_work.setdefault(plan, WeakSet()).add(run)

    def leave(self, run: object) -> None:
        """`run` thinks no more."""
        for runs in self.at_work.values():
            runs.discard(run)

    def lets_in(self, run: object, plan: Plan) -> bool:
        """Whether one more run may follow `plan`.

        One to begin with, and two more for each step known of it: what a plan does to a loaded server is
        seen before all of its runs are in it. And all runs together have no more drafts judged at a time
        than `CROWD`: the base model's time is theirs in common, and no run would see in its own waiting
        what it costs the others.
        """
        runs = sum(map(len, self.at_work.values()))
        if runs > 1 and plan.drafts * runs > CROWD:
            return False
        steps = self.kept.get(plan, _NOTHING).seen + self.rewritten.get(plan, _NOTHING).seen
        others = len(self.at_work.get(plan, set[object]()) - {run})
        return others <= 2 * steps

    @property
    def known(self) -> bool:
        """Whether everything was seen at least once."""
        return bool(self.write.seen and self.draft.seen and self.verdict.seen)

    def seconds(self, plan: Plan) -> float:
        """Expected seconds a step."""
        if plan.author == "base":
            return self.write.value * self.step.value
        fails = self.fails(plan.drafts)
        kept, rewritten = self.arithmetic(plan)
        tokens = self.step.value
        kept = tokens * mixed(self.kept.get(plan, _NOTHING), kept / tokens, _TRUST)
        rewritten = tokens * mixed(self.rewritten.get(plan, _NOTHING), rewritten / tokens, _TRUST)
        return (1 - fails) * kept + fails * rewritten

    def usual(self, plan: Plan, rewritten: bool) -> float:
        """Seconds a token of a step under `plan`, by arithmetic."""
        if plan.author == "base":
            return self.write.value
        if_kept, if_rewritten = self.arithmetic(plan)
        return (if_rewritten if rewritten else if_kept) / self.step.value

    def arithmetic(self, plan: Plan) -> tuple[float, float]:
        """Seconds of a step that is kept, and of one that is rewritten, as follows from their parts."""
        write = self.write.value * self.step.value
        dearer = 1 + self.more * (plan.drafts - 1)
        draft, score = self.draft.value * self.step.value * dearer, self.verdict.value * dearer
        one_by_one = draft + score
        if_kept = self._side_by_side(draft, score) if plan.schedule.depth else one_by_one
        if plan.repair.beside:
            slowed = max(_SLOWED, 1 + self.more)
            return slowed * if_kept, max(
                _SLOWED * max(one_by_one, write), self._side_by_side(one_by_one, write)
            )
        return if_kept, one_by_one + write

    def _side_by_side(self, one: float, other: float) -> float:
        """Seconds until both are done: what is done beside a longer work adds a share of its own time."""
        return max(one, other) + self.more * min(one, other)

    def fails(self, drafts: int) -> float:
        """Chance that none of so many drafts of a step is accepted.

        Some steps are hard, and every draft of them fails; on the others each fails or passes for itself. How
        many are hard follows from how often two drafts fail together. Until that is measured half of the
        failures are taken to be of hard steps.
        """
        one = 1 - self.acceptance.value
        alike = mixed(self.alike, 0.5 + 0.25 * one / (1 - 0.5 * one), _GUESSED)
        together = one * max(alike, one)
        hard = (together - one**2) / max(1 + together - 2 * one, 1e-9)
        return hard + (1 - hard) * ((one - hard) / max(1 - hard, 1e-9)) ** drafts

    def judged(self, standing: int, drafts: int) -> None:
        """Learn how many of the drafts of a step would have been accepted."""
        self.acceptance.take(standing / drafts)
        self.in_vain = 0 if standing else self.in_vain + 1
        if standing < drafts > 1:
            self.alike.take((drafts - standing - 1) / (drafts - 1))

    @property
    def judged_steps(self) -> int:
        """How many steps had drafts that were judged."""
        return self.acceptance.seen - _GUESS_WORTH

    @property
    def trial_share(self) -> float:
        """How much of the usual share is worth spending on tries: less after many failures, never nothing."""
        return 1 / (1 + min(self.in_vain, _HOPELESS) / 4)

    def price(self) -> float:
        """Seconds that a draft costs in vain."""
        return self.draft.value * self.step.value + self.verdict.value
