"""SpecReason (arXiv 2504.07891, section 4): a draft is accepted if the base model scores it high enough."""

from dataclasses import dataclass
from typing import Annotated, Literal

from specreason.config import Settings
from specreason.config.knobs import Section, knob
from specreason.config.policies import knobs_of
from specreason.reasoning.policies.contract import (
    Accept,
    Drafts,
    More,
    PolicySpec,
    Reject,
    StepStart,
    Write,
)
from specreason.reasoning.signals.contract import Signal, Signals
from specreason.reasoning.signals.digits import Method, Score
from specreason.reasoning.signals.judge_score import judge_question, judge_score
from specreason.reasoning.signals.task import Task


class Knobs(Section):
    """How a draft is judged."""

    threshold: Annotated[
        float, knob("A draft is accepted if its score is at least this (paper: 7).", unit="score", ge=0, le=9)
    ] = 7.0
    first_n_base_steps: Annotated[
        int, knob("The base model writes this many steps before the first draft.", unit="steps", ge=0)
    ] = 0
    judge_method: Annotated[
        Method,
        knob("greedy takes the likeliest token (no digit: rejected); expected the mean over the digits."),
    ] = "greedy"
    judge_prompt: Annotated[
        Literal["auto", "paper", "inline"],
        knob(
            "paper asks in a new user turn; inline asks in a few tokens inside the assistant's turn; "
            "auto is inline on engines in this process, where prefill is dear, else paper."
        ),
    ] = "auto"


def knobs_in(settings: Settings) -> Knobs:
    """The knobs of this policy in the settings."""
    knobs = knobs_of(settings.policy, "specreason")
    assert isinstance(knobs, Knobs)
    return knobs


@dataclass(frozen=True, slots=True)
class SpecReasonPolicy:
    """`score`: the signal to go by. `threshold`: 0 to 9. `first_n_base_steps`: before any draft."""

    score: Signal[Score]
    threshold: float = 7.0
    first_n_base_steps: int = 0

    def author(self, start: StepStart, known: Signals) -> Write | More:
        """The base model first, then drafts."""
        return Write("base" if start.index < self.first_n_base_steps else "small")

    def verdict(self, drafts: Drafts, known: Signals) -> Accept | Reject | More:
        """Of the drafts that score high enough, the one with the highest score, the first of equals."""
        scores = [known.get(self.score, number) for number in range(len(drafts))]
        if any(score is None for score in scores):
            return More(self.score)
        values = [-1.0 if score is None or score.value is None else score.value for score in scores]
        best = max(values)
        if best >= self.threshold:
            return Accept(values.index(best), sum(value >= self.threshold for value in values))
        return Reject("unscorable" if values[drafts.favourite] < 0 else "score")


async def _made(knobs: Knobs, task: Task) -> SpecReasonPolicy:
    question = await judge_question(task, knobs.judge_prompt)
    return SpecReasonPolicy(
        judge_score(question, knobs.judge_method), knobs.threshold, knobs.first_n_base_steps
    )


POLICY = PolicySpec("specreason", Knobs, _made, source="arXiv 2504.07891")
