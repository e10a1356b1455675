"""The one record of a step: what the loop says of it, and all that result, server, store and reports read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from specreason.config.scheme import Role
from specreason.reasoning.steps import End

Phase = Literal["draft", "score", "rewrite", "base", "answer"]
"""What time and tokens were spent on. `score`: everything that a policy had measured; `base`: steps that the
base model wrote without a draft before them."""

Origin = Literal["base", "draft", "rewrite", "kept_prefix", "instead"]
"""Where a step comes from: written by the base model unasked, an accepted draft, a rewrite of a rejected one,
the kept beginning of a rejected one and what the base model added, or a step that the policy had at hand."""

Outcome = Literal["accepted", "rejected", "unjudged"]
"""What became of the draft of a step; `unjudged`: there was none, or nobody who could replace it."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A kept step, and how it came about."""

    index: int
    """Number of the step in the chain, from 0."""
    text: str
    """As it stands in the chain."""
    author: Role
    """Who wrote it; of a kept beginning with an addition, the author of the addition."""
    origin: Origin
    """Where it comes from."""
    outcome: Outcome
    """What became of its draft."""
    tokens: int
    """Tokens of the step."""
    end: End
    """Why the step ended."""
    small_tokens: int = 0
    """How many of `tokens`, at the beginning, the small model wrote."""
    discarded: int = 0
    """Tokens that the small model drafted for this step and that are not in it."""
    drafts: int = 0
    """Drafts of the step that were decided on; 0 where it was not drafted."""
    standing: int = 0
    """How many of them the policy would have accepted, as far as it says."""
    which: int = 0
    """Number of the draft that the verdict names, from 0."""
    reason: str | None = None
    """Why the draft was rejected."""
    draft: str | None = None
    """The text of the rejected draft."""
    signals: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    """What was measured of that draft and of this place, by name; None where nothing could be read."""
    seconds: Mapping[Phase, float] = field(default_factory=dict[Phase, float])
    """Seconds waited for the step, by phase."""
    plan: str | None = None
    """Why it was drafted, or not, where that is chosen step by step."""

    @property
    def score(self) -> float | None:
        """The judge's score of the draft, 0 to 9; None if it was not scored."""
        return self.signals.get("judge_score")

    @property
    def base_tokens(self) -> int:
        """How many of `tokens` the base model wrote."""
        return self.tokens - self.small_tokens
