"""What one caller asks for beyond the method: where the answer is cut, how much in all, how much patience."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specreason.engines.protocol import Constraint


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of one run.

    `stop`: texts that end the answer, themselves not told. `max_tokens`: thinking and answer together (None:
    no such limit); a quarter of it is kept for the answer. `resume_within`: seconds that the run waits for
    the model that it depends on, each time that one is away; 0 does not wait. `constraint`: what the answer
    must be; thinking is free. `tools`: definitions that go into the models' templates.
    """

    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    resume_within: float = 0.0
    constraint: Constraint | None = None
    tools: tuple[Mapping[str, Any], ...] = ()


class AnswerCut:
    """Passes a text on up to the first of some stop texts; holds back what may be the start of one."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""
        self.reached = False

    def take(self, text: str) -> str:
        """What of the text so far can be told now and has not been."""
        self._held += text
        at = min((i for stop in self._stop if (i := self._held.find(stop)) >= 0), default=None)
        if at is not None:
            self.reached = True
            told, self._held = self._held[:at], ""
            return told
        keep = max((self._overlap(stop) for stop in self._stop), default=0)
        told = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return told

    def rest(self) -> str:
        """What was held back, when the text has ended."""
        held, self._held = self._held, ""
        return held

    def _overlap(self, stop: str) -> int:
        """How many characters at the end may be the start of `stop`."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
