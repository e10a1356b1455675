"""Keeping beginnings of drafts with real models: the pocket pair, whose judge sees mistakes inside a step."""

from itertools import islice

import pytest
from specreason_lab.problems import GOING_ON, problems, stated_answer

from specreason.config import EngineSettings, ReasoningSettings, SamplingSettings, Settings
from specreason.models import catalogue
from specreason.reasoning.result import Result
from specreason.session import SpecReason

pytestmark = pytest.mark.xdist_group("models")

ONE = EngineSettings(context=1024, threads=1)
PAIR = Settings(
    pair=catalogue.POCKET_PAIR, base=ONE, small=ONE, sampling=SamplingSettings(temperature=0, seed=1)
)
STORIES = list(islice(problems(0, "test", mix=(0, 1, 0)), 6))  # the small model misreads them


def rewritten(results: list[Result]) -> int:
    """Tokens that the base model wrote where a draft was rejected."""
    return sum(step.base_tokens for result in results for step in result.steps if step.outcome == "rejected")


def right(results: list[Result]) -> int:
    stated = [stated_answer(result.answer_text) for result in results]
    return sum(answer == story.answer for answer, story in zip(stated, STORIES, strict=True))


async def test_the_base_model_writes_only_what_was_wrong() -> None:
    async with SpecReason(PAIR) as pair:
        whole, partly = [
            [await pair.solve(story.text, reasoning=ReasoningSettings(on_reject=repair)) for story in STORIES]
            for repair in ("rewrite", "keep_prefix")
        ]
    assert rewritten(partly) < 0.6 * rewritten(whole)
    assert right(partly) >= right(whole) - 1
    assert not any(step.origin == "kept_prefix" for result in whole for step in result.steps)
    kept = [step for result in partly for step in result.steps if step.origin == "kept_prefix"]
    assert any(step.text.startswith(GOING_ON) for step in kept)
    for step in kept:
        assert (step.author, step.outcome) == ("base", "rejected")
        assert 0 < step.small_tokens < step.tokens
        assert step.draft is not None
        assert step.draft.split()[0] == step.text.split()[0]
