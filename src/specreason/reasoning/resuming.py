"""Going on after the last kept step when the model that a run depends on was away."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from specreason.engines.waiting import waiting
from specreason.errors import EngineError, EngineTimeout, EngineUnavailable
from specreason.reasoning.events import AnswerDelta, CallEnded, Event, StepKept

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_MOST_WAITS = 10  # for one step


class Waiting:
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


class Resuming:
    """Makes a part of a run again when the model `needed` breaks off; `seconds`: see `Waiting`."""

    def __init__(self, seconds: float, needed: str) -> None:
        self._waiting = Waiting(seconds)
        self._needed = needed

    def note(self, event: Event) -> None:
        """See progress, and the model at work."""
        match event:
            case StepKept() | AnswerDelta():
                self._waiting.renew()
            case CallEnded(role=role) if role == self._needed and event.generated_tokens:
                self._waiting.back()
            case _:
                pass

    async def run(
        self,
        part: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
        interrupted: Callable[[EngineError], Awaitable[None]],
    ) -> None:
        """`part`, again and again until it comes to its end.

        After each failure `stop` stops the models and reports their calls; `interrupted` is called where a
        wait begins. Raises EngineUnavailable or EngineTimeout once there is no time left.
        """
        while True:
            try:
                return await part()
            except (EngineUnavailable, EngineTimeout) as error:
                await stop()
                if self._waiting.begins:
                    await interrupted(error)
                if not await self._waiting.pause():
                    raise
