"""Grading in processes of its own, so that an answer that sends the algebra astray can be killed."""

import asyncio
import multiprocessing
import signal
from concurrent.futures import TimeoutError as GradingTimeout
from importlib.util import find_spec
from typing import Any

from pebble import ProcessExpired, ProcessPool  # pyright: ignore[reportMissingTypeStubs]

from specreason.errors import ConfigError
from specreason.eval.grading import Grade, at_once, grade, library
from specreason.eval.tasks import Problem

TIMEOUT_S = 10.0
_LONGER = 4


class Grader:
    """Grades answers; use it as a context manager."""

    def __init__(self, workers: int = 1, timeout_s: float = TIMEOUT_S) -> None:
        if find_spec("math_verify") is None:
            raise ConfigError("grading needs: pip install 'specreason[eval]' (math-verify is missing)")
        self._timeout_s = timeout_s
        # Not fork: this process has the threads of the engines. Workers start when first needed.
        context: Any = multiprocessing.get_context("spawn")
        self._pool: Any = ProcessPool(
            max_workers=workers,
            max_tasks=5000,  # sympy's caches grow
            initializer=_start,
            context=context,
        )

    async def __aenter__(self) -> "Grader":
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._close)

    async def grade(self, problem: Problem, answer: str | None) -> Grade:
        """The verdict on `answer`. A grader that hangs or dies makes the answer wrong, and says so."""
        if (verdict := at_once(problem.kind, answer, problem.answer)) is not None:
            return verdict
        asked = [problem.kind, answer, problem.answer]
        # A second, longer try: on a busy machine the clock runs on while the algebra waits.
        for limit in (self._timeout_s, _LONGER * self._timeout_s):
            future: Any = self._pool.schedule(grade, args=asked, timeout=limit)
            try:
                return await asyncio.wrap_future(future)
            except (GradingTimeout, TimeoutError):
                continue
            except ProcessExpired as error:
                return Grade(False, f"the grader died (exit code {error.exitcode})")
        return Grade(False, f"grading took more than {_LONGER * self._timeout_s:g} s and was stopped")

    def _close(self) -> None:
        self._pool.stop()
        self._pool.join()


def _start() -> None:
    # Ctrl-C reaches the whole process group; the parent decides when the pool ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    library()  # a second or more, which no answer should have to pay from its time limit
