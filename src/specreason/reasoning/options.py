"""What one caller asks for beyond the method: where the answer is cut, how much in all, how long to wait."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specreason.engines.protocol import Constraint


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of one run."""

    stop: tuple[str, ...] = ()
    """Texts that end the answer; they are not part of it."""
    max_tokens: int | None = None
    """Thinking and answer together; a quarter of it is kept for the answer. None: no such limit."""
    resume_within: float = 0.0
    """Seconds that the run waits for the model that it depends on, each time that is away; 0: not at all."""
    constraint: Constraint | None = None
    """What the answer must be; thinking is free."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Definitions that go into the models' templates."""


class AnswerCut:
    """Passes a text on up to the first of some stop texts; holds back what may be the start of one."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""
        self.reached = False

    def take(self, text: str) -> str:
        """What of the text so far can be passed on now and has not been."""
        self._held += text
        at = min((i for stop in self._stop if (i := self._held.find(stop)) >= 0), default=None)
        if at is not None:
            self.reached = True
            passed, self._held = self._held[:at], ""
            return passed
        keep = max((self._overlap(stop) for stop in self._stop), default=0)
        passed = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return passed

    def rest(self) -> str:
        """What was held back, when the text has ended."""
        held, self._held = self._held, ""
        return held

    def _overlap(self, stop: str) -> int:
        """How many characters at the end may be the start of `stop`."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
