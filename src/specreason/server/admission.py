"""Concurrency and queueing: a bounded queue in order of arrival, and a limit for each key. Else 429."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from specreason.config import ServerSettings
from specreason.server.errors import Refused

LONGEST_RETRY_S = 60
_FIRST_GUESS_S = 5.0
_WEIGHT_OF_LATEST = 0.2


class Admission:
    """Lets `slots` problems run at once; `settings` say how many may wait, and how long (seconds)."""

    def __init__(self, settings: ServerSettings, slots: int) -> None:
        self._settings = settings
        self.slots = slots
        self._limiter = anyio.CapacityLimiter(slots)
        self._inside = 0  # problems that run or wait
        self._of_key: Counter[str] = Counter()
        self._usual_s = _FIRST_GUESS_S

    @property
    def running(self) -> int:
        """Problems being solved."""
        return int(self._limiter.borrowed_tokens)

    @property
    def waiting(self) -> int:
        """Problems that wait for a slot."""
        return self._limiter.statistics().tasks_waiting

    @property
    def empty(self) -> bool:
        """Whether no request runs or waits."""
        return not self._inside

    @asynccontextmanager
    async def entered(self, key: str, choices: int) -> AsyncGenerator[None]:
        """Places for a request of `choices` problems.

        Raises Refused: 429 if they are taken, 400 if there are not so many.
        """
        self._check(key, choices)
        self._inside += choices
        self._of_key[key] += 1
        try:
            yield
        finally:
            self._inside -= choices
            self._of_key[key] -= 1
            if not self._of_key[key]:
                del self._of_key[key]

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None]:
        """A slot for one problem, once one is free. Raises Refused (429) after `queue_timeout`."""
        borrower = object()
        try:
            async with asyncio.timeout(self._settings.queue_timeout):
                await self._limiter.acquire_on_behalf_of(borrower)
        except TimeoutError:
            raise self._busy(
                f"waited {self._settings.queue_timeout:g} s in the queue (setting 'server.queue_timeout')",
                "queue_timeout",
            ) from None
        started = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self._limiter.release_on_behalf_of(borrower)
            took = asyncio.get_running_loop().time() - started
            self._usual_s += _WEIGHT_OF_LATEST * (took - self._usual_s)

    def _check(self, key: str, choices: int) -> None:
        places = self.slots + self._settings.queue
        if choices > places:  # it would never fit, so a retry would be useless
            raise Refused(
                f"'n' is {choices}; this server has room for {places}: {self.slots} run at once and "
                f"{self._settings.queue} may wait (settings 'server.concurrency' and 'server.queue')",
                param="n",
                code="invalid_value",
            )
        limit = self._settings.per_key
        if limit is not None and self._of_key[key] >= limit:
            raise self._busy(
                f"this key has {limit} requests in progress, its limit (setting 'server.per_key')",
                "key_limit",
            )
        if self._inside + choices > places:
            raise self._busy(
                f"{self._inside} of {places} places are taken and this request needs {choices} (settings "
                "'server.concurrency' and 'server.queue'); try again later",
                "queue_full",
            )

    def _busy(self, message: str, code: str) -> Refused:
        rounds = max(1.0, (self._inside + 1 - self.slots) / self.slots)
        seconds = min(LONGEST_RETRY_S, max(1, math.ceil(self._usual_s * rounds)))
        return Refused(message, status=429, code=code, headers={"Retry-After": str(seconds)})
