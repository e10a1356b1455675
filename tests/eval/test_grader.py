"""The grader's processes: what hangs or dies is killed, and the next answer is graded."""

import asyncio
import os
import time
from typing import Any

import pytest

from specreason.eval import grader as module
from specreason.eval.grader import Grader
from specreason.eval.grading import Grade
from specreason.eval.tasks import Problem


def hanging_or_dying(kind: Any, answer: str, expected: str) -> Grade:
    """Stands in for the algebra (in the child process)."""
    if answer == "hang":
        time.sleep(600)
    if answer == "die":
        os._exit(3)
    return Grade(True, "fine")


def test_an_answer_that_hangs_or_kills_the_grader_is_wrong_and_the_next_one_is_graded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "grade", hanging_or_dying)
    problem = Problem("a", "?", "x + 1")

    async def graded() -> list[Grade]:
        async with Grader(timeout_s=0.3) as grader:
            return [await grader.grade(problem, answer) for answer in ("hang", "die", "1 + x")]

    hung, died, fine = asyncio.run(graded())
    assert not hung.right
    assert "was stopped" in hung.reason
    assert not died.right
    assert "died (exit code 3)" in died.reason
    assert fine.right


def test_mathematics_is_graded_in_the_other_process() -> None:
    async def graded() -> Grade:
        async with Grader() as grader:
            return await grader.grade(Problem("a", "?", "\\frac{1}{2}"), "0.5")

    assert asyncio.run(graded()).right
