"""The chain of a run: its texts, what is left of the budget, why it ended. Only this object changes them."""

from collections.abc import Mapping
from dataclasses import replace

from specreason.reasoning.answers import boxed_answer
from specreason.reasoning.budget import thinking_budget
from specreason.reasoning.chain import Chain, check_chain
from specreason.reasoning.events import Ended
from specreason.reasoning.repetition import repeats
from specreason.reasoning.run import Run
from specreason.reasoning.steps import End, Step

_LAST: Mapping[End, Ended] = {"think_close": "closed", "stop": "stopped"}


class Thinking:
    """`outcomes`: whether the latest drafts were accepted, newest last. Raises ContextOverflow."""

    def __init__(self, run: Run) -> None:
        self.chain = Chain({role: turn.prompt for role, turn in run.turns.items()})
        self.texts: list[str] = []
        self.outcomes: tuple[bool, ...] = ()
        self.ended: Ended | None = None
        self._discarded = 0
        self._ends_on_answer = run.settings.end_on_answer
        self._budget = thinking_budget(run.settings, run.engines, run.turns, run.room, run.options.max_tokens)
        if self.left(self.chain) <= 0:  # who asked for no thinking gets none
            self.end()

    def left(self, chain: Chain) -> int:
        """Thinking tokens left after `chain`."""
        return self._budget.left(chain.tokens, self._discarded)

    def end_of(self, chain: Chain) -> Ended | None:
        """Why thinking ends with `chain`, None if it goes on."""
        step = chain.last
        if step is None:
            return None
        if step.end in _LAST:
            return _LAST[step.end]
        if self._ends_on_answer and boxed_answer(step.text):
            return "answer"
        if self.left(chain) <= 0:
            return self._budget.limited_by
        if step.end == "length" and not step.tokens:
            return "context"  # the engine has no room for another token
        return None

    def keep(self, step: Step, after: Chain) -> bool:
        """Make `step` part of the chain; one that goes round in a circle ends thinking and is not kept."""
        if repeats(self.chain.recent, step):
            self.end("repetition")
            return False
        self.chain = after
        self.texts.append(step.text)
        check_chain(after)
        self.ended = self.end_of(after)
        return True

    def discard(self, tokens: int) -> None:
        """So many tokens were drafted in vain; fewer than none where some of them are kept after all."""
        self._discarded += tokens

    def decided(self, accepted: bool) -> None:
        """Note how the drafts of a step fared."""
        self.outcomes = (*self.outcomes, accepted)

    def end(self, reason: Ended | None = None) -> None:
        """Think no more; without a reason because nothing is left of the budget, or of the context."""
        self.ended = reason or self._budget.limited_by

    def without_small(self) -> None:
        """The small model reads on no more."""
        self.chain = replace(self.chain, prompts={"base": self.chain.prompts["base"]})
