"""Many problems at once on an emulated pair: throughput, latency, the longest wait, our memory.

    python -m benchmarks.concurrency --rounds 2

EMULATION, as in `benchmarks.speed`: seconds are those of the profile's hardware, on a clock that skips the
waiting. As many problems are under way at any time as the row says: `--rounds` for each place, eight in all
at least. Both sides have the same two GPUs: the base model alone is never slowed down by a neighbour and
needs to share no memory. Memory limits neither (docs/performance.md has the arithmetic).
"""

import argparse
import asyncio
import gc
import json
import statistics
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load import resident_mb
from benchmarks.speed import EVERYTHING, MOST, Drafts, paired
from specreason import SpecReason
from specreason.emulate.profiles import Profile, profile_named
from specreason.emulate.skipping import run_skipping
from specreason.reasoning.events import StepKept

CONCURRENT = (1, 2, 4, 8, 16, 32)
SETTLED, LATER = 64, 256  # problems
SCHEDULES: dict[str, dict[str, Any]] = {
    "base": {"scheme": "base"},
    "sequential": {},
    "auto": EVERYTHING | {"speculate": "auto"},
}


@dataclass
class Timed:
    """Emulated seconds: of the whole, of each problem, and each wait for a step. `memory_mb`: at the end."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list[float])
    waits: list[float] = field(default_factory=list[float])
    memory_mb: float = 0.0

    @property
    def per_minute(self) -> float:
        return 60 * len(self.latencies) / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="problems that each place solves in turn")
    parser.add_argument("--at-once", type=int, nargs="+", default=CONCURRENT)
    parser.add_argument("--acceptance", type=float, default=0.8)
    parser.add_argument("--profile", default="paper")
    arguments = parser.parse_args()
    profile = profile_named(arguments.profile)
    print(f"EMULATION, profile {profile.name}: {profile.describes}; acceptance {arguments.acceptance}\n")
    print("| at once | schedule | problems/min | over base | latency p50 s | p95 s | longest wait s | MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    over_base: dict[str, dict[str, float]] = {"sequential": {}, "auto": {}}
    worst_wait, memory = 0.0, list[float]()
    for places in arguments.at_once:
        base = 0.0
        for name, knobs in SCHEDULES.items():
            script = Drafts(
                seed=1, acceptance=arguments.acceptance, drafts=int(knobs.get("drafts_per_step", 1))
            )
            timed = run_skipping(solved(profile, script, knobs, places, max(8, places * arguments.rounds)))
            base = base or timed.per_minute
            if name in over_base:
                over_base[name][str(places)] = round(timed.per_minute / base, 3)
            worst_wait = max(worst_wait, *timed.waits)
            memory.append(timed.memory_mb)
            print(
                f"| {places} | {name} | {timed.per_minute:.1f} | {timed.per_minute / base:.2f} | "
                f"{statistics.median(timed.latencies):.1f} | {percentile(timed.latencies, 0.95):.1f} | "
                f"{max(timed.waits):.1f} | {timed.memory_mb:.0f} |",
                flush=True,
            )
    growth = run_skipping(own_growth_kib(profile, arguments.acceptance))
    print(f"\nmemory of our own code, after {SETTLED} problems and after {LATER} more: {growth:+.1f} KiB")
    print(
        "RESULT",
        json.dumps(
            {
                "throughput_over_base": over_base,
                "longest_wait_s": round(worst_wait, 1),
                "memory_mb_first_and_last": [round(memory[0]), round(memory[-1])],
                "own_memory_growth_kib": round(growth),
            }
        ),
    )


async def own_growth_kib(profile: Profile, acceptance: float) -> float:
    """What our loop and clients hold more after many problems than after a few.

    The emulated servers are left out: like real ones they keep a cache of what was said.
    """
    ours = [tracemalloc.Filter(True, "*/specreason/*"), tracemalloc.Filter(False, "*/emulate/*")]
    script = Drafts(seed=1, acceptance=acceptance, drafts=MOST["drafts_per_step"])

    def held() -> int:
        gc.collect()
        snapshot = tracemalloc.take_snapshot().filter_traces(ours)
        return sum(line.size for line in snapshot.statistics("filename"))

    tracemalloc.start()
    try:
        async with await paired(profile, script, SCHEDULES["auto"]) as pair:
            await all_solved(pair, range(SETTLED), max(CONCURRENT))
            before = held()
            await all_solved(pair, range(SETTLED, SETTLED + LATER), max(CONCURRENT))
            return (held() - before) / 1024
    finally:
        tracemalloc.stop()


async def solved(
    profile: Profile, script: Drafts, knobs: dict[str, Any], places: int, problems: int
) -> Timed:
    """Problems 0 to `problems` - 1, so many at a time as there are places."""
    async with await paired(profile, script, knobs) as pair:
        timed = await all_solved(pair, range(problems), places)
    gc.collect()
    timed.memory_mb = resident_mb("self")
    return timed


async def all_solved(pair: SpecReason, problems: Iterable[int], places: int) -> Timed:
    clock, timed, waiting = asyncio.get_running_loop().time, Timed(), iter(problems)
    started = clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(places):
            group.create_task(one_place(pair, waiting, timed))
    timed.seconds = clock() - started
    return timed


async def one_place(pair: SpecReason, waiting: Iterator[int], timed: Timed) -> None:
    """One problem after the other, as long as there are any."""
    clock = asyncio.get_running_loop().time
    for problem in waiting:
        started = last = clock()
        async for event in pair.stream(f"This is problem {problem}."):
            if isinstance(event, StepKept):
                timed.waits.append(clock() - last)
                last = clock()
        timed.latencies.append(clock() - started)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    main()
