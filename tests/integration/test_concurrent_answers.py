"""Several conversations at once on llama.cpp: each gets the reply that it gets alone."""

import asyncio
import re
from itertools import islice

import pytest
from specreason_lab.problems import problems

from benchmarks.llama_server import running
from specreason.config import EngineSettings, ReasoningSettings, SamplingSettings, Settings
from specreason.engines.connect import connect
from specreason.engines.host_cache import keeps_prompts_in_host_memory
from specreason.models import catalogue
from specreason.session import SpecReason

pytestmark = pytest.mark.xdist_group("models")

PROBLEMS = list(islice(problems(5, "test", (3, 4)), 6))
LINE = re.compile(r"^\d+\) (.+?) with ", re.MULTILINE)
SLOTS = 4


async def check_replies(pair: SpecReason) -> None:
    async def reply(text: str) -> str:
        result = await pair.solve(text, sampling=SamplingSettings(temperature=0))
        return "".join(step.text for step in result.steps) + result.answer_text

    alone = [await reply(problem.text) for problem in PROBLEMS]
    abandoned = [asyncio.create_task(reply(problem.text)) for problem in PROBLEMS[::2]]
    twice = [*PROBLEMS, *PROBLEMS[:2]]  # the same question from two clients, or two choices of one request
    together = [asyncio.create_task(reply(problem.text)) for problem in twice]
    await asyncio.wait(together, return_when=asyncio.FIRST_COMPLETED)
    for conversation in abandoned:
        conversation.cancel()
    await asyncio.gather(*abandoned, return_exceptions=True)
    replies = await asyncio.gather(*together)
    assert replies[len(PROBLEMS) :] == alone[:2]
    for problem, mine, among_others in zip(PROBLEMS, alone, replies, strict=False):
        assert among_others == mine
        assert set(LINE.findall(mine)) <= set(LINE.findall("".join(problem.steps)))


async def test_embedded_conversations_do_not_mix() -> None:
    section = EngineSettings(context=1024, parallel=SLOTS, threads=1)
    async with SpecReason(Settings(pair=catalogue.POCKET_PAIR, base=section, small=section)) as pair:
        await check_replies(pair)


async def test_conversations_behind_a_model_server_do_not_mix() -> None:
    async with running("base", slots=SLOTS) as base, running("small", slots=SLOTS) as small:
        settings = Settings(
            pair=catalogue.POCKET_PAIR,
            base=EngineSettings(url=base),
            small=EngineSettings(url=small),
            reasoning=ReasoningSettings(lookahead=1),
        )
        async with SpecReason(settings) as pair:
            await check_replies(pair)


@pytest.mark.parametrize("cache_ram", [0, 8192])
async def test_a_server_that_may_mix_conversations_is_seen(cache_ram: int) -> None:
    async with running("small", slots=SLOTS, cache_ram=cache_ram) as url:
        engine = await connect("small", EngineSettings(url=url))
        try:
            assert await keeps_prompts_in_host_memory(engine) == (cache_ram > 0)
        finally:
            await engine.aclose()
