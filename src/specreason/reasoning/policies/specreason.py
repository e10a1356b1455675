"""SpecReason (arXiv 2504.07891, section 4): a draft stands if the base model scores it high enough."""

from dataclasses import dataclass

from specreason.reasoning.chain import Role
from specreason.reasoning.judge import Score
from specreason.reasoning.policies.contract import Accept, Boundary, Known, More, Reject, Signal, Write
from specreason.reasoning.steps import Step


@dataclass(frozen=True, slots=True)
class SpecReasonPolicy:
    """`judge_score`: the signal to go by. `threshold`: 0 to 9. `first_n_base_steps`: before any draft."""

    judge_score: Signal[Score]
    threshold: float = 7.0
    first_n_base_steps: int = 0
    name: str = "specreason"
    roles: tuple[Role, ...] = ("base", "small")

    def author(self, boundary: Boundary, known: Known) -> Write | More:
        """The base model first, then drafts."""
        return Write("base" if boundary.index < self.first_n_base_steps else "small")

    def verdict(self, draft: Step, known: Known) -> Accept | Reject | More:
        """Compare the judge's score with the threshold; a reply that is no score rejects."""
        score = known.get(self.judge_score)
        if score is None:
            return More(self.judge_score)
        if score.value is None:
            return Reject("unscorable")
        return Accept(score.value) if score.value >= self.threshold else Reject("score")
