"""How long engines keep someone waiting, known at any moment, with calls that overlap or never end."""

import time
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar


class Stretch:
    """Seconds in which at least one of several things went on: each moment counts once, open ones count.

    with stretch:  # one of the things; others may overlap it
        ...
    """

    def __init__(self) -> None:
        self._open = 0
        self._since = 0.0
        self._past_s = 0.0

    @property
    def seconds(self) -> float:
        """The length so far."""
        return self._past_s + (time.perf_counter() - self._since if self._open else 0.0)

    def __enter__(self) -> None:
        if not self._open:
            self._since = time.perf_counter()
        self._open += 1

    def __exit__(self, *_: object) -> None:
        self._open -= 1
        if not self._open:
            self._past_s += time.perf_counter() - self._since


# What whoever asks keeps of all waiting done on its behalf.
engine_time: ContextVar[Stretch] = ContextVar("engine_time")
_NOBODYS = nullcontext()


def waiting() -> AbstractContextManager[None]:
    """An engine is waited for."""
    return engine_time.get(_NOBODYS)
