"""A small round of the benchmark: problems while the model servers are killed, frozen and restarted."""

import random
from itertools import islice

import pytest
from specreason_lab.problems import problems

from benchmarks.faults import solved

pytestmark = pytest.mark.xdist_group("models")


async def test_problems_end_with_an_answer_whatever_happens_to_the_model_servers() -> None:
    sample = list(islice(problems(6, "test", (3, 4)), 12))
    replies, faults, _ = await solved(sample, 6, random.Random(3))
    assert faults.total() >= 1
    assert len(replies) == len(sample)
    assert {reply.end for reply in replies} <= {"right", "wrong", "error"}
    assert not any(reply.started and reply.end == "error" for reply in replies)
    assert sum(reply.end == "right" for reply in replies) >= len(sample) - 2
