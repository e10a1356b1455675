"""The method in 60 lines, run as it stands against the two servers of an emulated pair."""

import asyncio
import re
import sys

from pages import ROOT

from specreason.emulate.pair import emulated_pair
from specreason.emulate.script import Script

EXAMPLE = ROOT / "examples" / "spec_reason_in_60_lines.py"


async def output(script: Script) -> str:
    async with emulated_pair(script, scale=0.002) as pair:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE), pair.base, pair.small, "This is problem 17.",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return printed.decode()


def test_it_has_at_most_sixty_lines() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 60


async def test_good_drafts_are_kept_others_rewritten_and_the_answer_is_right() -> None:
    script = Script(seed=1, acceptance=0.6)
    printed = await output(script)
    authors = re.findall(r"^\[(small|base), draft scored (\d)\] Step (\d+) \((base|draft 0)\)", printed, re.M)
    good = [script.is_good(17, index, 0) for index in range(script.length(17))]
    assert [author for author, *_ in authors] == ["small" if is_good else "base" for is_good in good]
    assert [int(score) >= 7 for _, score, *_ in authors] == good
    assert [writer for *_, writer in authors] == ["draft 0" if is_good else "base" for is_good in good]
    assert printed.rstrip().endswith(script.answer(17, ()))
