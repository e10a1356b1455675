"""docs/emulation.md: its example runs, its numbers are those of the profiles."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from specreason.emulate.profiles import PROFILES, Profile, Timing

PAGE = (Path(__file__).parents[2] / "docs" / "emulation.md").read_text(encoding="utf-8")


async def test_the_example_runs() -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert process.returncode == 0
    seconds = [float(found) for found in re.findall(r"([\d.]+) s", told.decode())]
    assert seconds[1] <= seconds[0] <= 1.1 * seconds[1] < seconds[2]


def numbers(timing: Timing) -> list[str]:
    milliseconds = [1000 * s for s in (timing.token_s, timing.further_s, timing.overhead_s)]
    token, further, overhead = (f"{round(ms, 6):g} ms" for ms in milliseconds)
    return [token, further, f"{timing.prefill:,.0f} /s", overhead]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_the_table_is_that_of_the_profiles(profile: Profile) -> None:
    rows = PAGE[PAGE.index(f"| `{profile.name}` |") :].splitlines()[:2]
    for row, timing in zip(rows, (profile.base, profile.small), strict=True):
        cells = [re.sub(r" [ᵃᵉᵐᵈ]", "", cell.strip()) for cell in row.split("|")[3:7]]
        assert cells == numbers(timing)
    assert re.sub(r" [ᵃᵉᵐᵈ]", "", rows[0]).endswith(f"| {profile.beside:g} | {profile.block} |")
