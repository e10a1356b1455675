"""How many thinking tokens a run may have, and what sets that limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from specreason.config import ReasoningSettings
from specreason.config.scheme import Role
from specreason.engines.chat_format import OpenTurn
from specreason.engines.protocol import Engine
from specreason.errors import ContextOverflow


@dataclass(frozen=True, slots=True)
class Budget:
    """Thinking tokens, and whether the setting or the smallest context limits them."""

    tokens: int
    limited_by: Literal["budget", "context"]
    counts_discarded: bool

    def left(self, kept: int, discarded: int) -> int:
        """Tokens left, when `kept` stand in the chain and `discarded` were drafted in vain."""
        return self.tokens - kept - (discarded if self.counts_discarded else 0)


def thinking_budget(
    settings: ReasoningSettings,
    engines: Mapping[Role, Engine],
    turns: Mapping[Role, OpenTurn],
    judge_tokens: int,
    max_tokens: int | None = None,
) -> Budget:
    """`reasoning.token_budget`, or what the smallest context leaves for thinking if that is less.

    Room is kept for the answer (a quarter of `max_tokens`, which bounds both) and for the judge's question
    (`judge_tokens`). Raises ContextOverflow if the problem alone leaves none.
    """
    allowed = settings.token_budget
    if max_tokens is not None:
        allowed = min(allowed, max_tokens - max_tokens // 4)
    budget = Budget(allowed, "budget", settings.budget_counts == "generated")
    for role, engine in engines.items():
        prompt = turns[role].prompt
        tokens = prompt.tokens if prompt.tokens is not None else len(prompt.text) // 3
        reserve = min(settings.answer_tokens, engine.context_length // 4)
        room = engine.context_length - tokens - reserve - judge_tokens
        if room <= 0:
            raise ContextOverflow(
                f"the problem has {tokens} tokens; with {reserve} kept for the answer it does not fit "
                f"into {engine.model}'s context of {engine.context_length} (setting '{role}.context')",
                engine=role,
            )
        if room < budget.tokens:
            budget = Budget(room, "context", budget.counts_discarded)
    return budget
