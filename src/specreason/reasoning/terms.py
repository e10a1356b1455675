"""What one caller asks for beyond the method: where the answer is cut, how much in all, how much patience."""

import asyncio
import time
from dataclasses import dataclass

from specreason.engines.waiting import waiting

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_MOST_WAITS = 10  # for one step


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of one run.

    `stop`: texts that end the answer, themselves not told. `max_tokens`: thinking and answer together (None:
    no such limit); a quarter of it is kept for the answer. `resume_within`: seconds that the run waits for
    the model that it depends on, each time that one is away; 0 does not wait.
    """

    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    resume_within: float = 0.0


class Patience:
    """How long to go on trying: `seconds` since the model was last seen at work, with growing pauses.

    A model that works again and then breaks off has its time anew, but not without end: if it breaks off time
    and again before there is progress, the work itself may be what breaks it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None
        self._pause = _FIRST_PAUSE_S
        self._waits = 0  # since the last progress

    @property
    def begins(self) -> bool:
        """Whether a wait begins with the next pause, and there is time for one."""
        return self._until is None and self._seconds > 0 and self._waits < _MOST_WAITS

    def back(self) -> None:
        """The model was seen at work: the next failure begins another wait."""
        self._until, self._pause = None, _FIRST_PAUSE_S

    def renew(self) -> None:
        """There was progress, which stays."""
        self.back()
        self._waits = 0

    async def pause(self) -> bool:
        """Wait a while before the next try; False, at once, if there is no time left for one."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
            self._waits += 1
        if now >= self._until or self._waits > _MOST_WAITS:
            return False
        with waiting():
            await asyncio.sleep(min(self._pause, self._until - now))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
        return True


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
