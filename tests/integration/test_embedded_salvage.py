"""Salvaging drafts with real models: the pocket pair, whose judge tells where a step goes wrong."""

from itertools import islice

import pytest
from specreason_lab.problems import GOING_ON, problems, stated_answer

from specreason.config import EngineSettings, ReasoningSettings, SamplingSettings, Settings
from specreason.models import catalogue
from specreason.reasoning.events import Event, StepAccepted, StepRewritten
from specreason.reasoning.result import fold
from specreason.session import SpecReason

pytestmark = pytest.mark.xdist_group("models")

ONE = EngineSettings(context=1024, threads=1)
PAIR = Settings(
    pair=catalogue.POCKET_PAIR, base=ONE, small=ONE, sampling=SamplingSettings(temperature=0, seed=1)
)
STORIES = list(islice(problems(0, "test", mix=(0, 1, 0)), 6))  # the small model misreads them


async def test_the_base_model_writes_only_what_was_wrong() -> None:
    written: dict[bool, int] = {}
    right: dict[bool, int] = {}
    told: list[Event] = []
    async with SpecReason(PAIR) as pair:
        for salvage in (False, True):
            reasoning = ReasoningSettings(salvage=salvage)
            runs = [
                [event async for event in pair.stream(story.text, reasoning=reasoning)] for story in STORIES
            ]
            results = [fold(events) for events in runs]
            right[salvage] = sum(
                stated_answer(result.answer_text) == story.answer
                for result, story in zip(results, STORIES, strict=True)
            )
            told = [event for events in runs for event in events]
            written[salvage] = sum(e.tokens for e in told if isinstance(e, StepRewritten))
    salvaged = [event.salvaged for event in told if isinstance(event, StepRewritten)]
    assert any(text.startswith(GOING_ON) for text in salvaged)
    assert written[True] < 0.6 * written[False]
    assert right[True] >= right[False] - 1
    kept = [event for event in told if isinstance(event, StepAccepted) and event.salvaged]
    assert all(event.author == "base" and event.salvaged < event.tokens for event in kept)
