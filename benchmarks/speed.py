"""What overlapping gains, on an emulated pair against the lower bounds, and measured on the pocket pair.

    python -m benchmarks.speed --problems 100

EMULATION: a 32B base and a 1.5B small model on two 48 GB GPUs (docs/emulation.md), on a clock that skips the
waiting. So the times are those of the schedules alone, the same on any machine. What our own code costs is
processor time, with engines that only say their lines. The pocket pair: benchmarks.pocket_speed.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import pocket_speed
from benchmarks.core import overhead_ms
from specreason import EngineSettings, Settings, SpecReason
from specreason.config.scheme import Role
from specreason.emulate.bounds import Schedule, base_alone_s, least_s
from specreason.emulate.pair import direct, emulated_models
from specreason.emulate.profiles import Profile, profile_named
from specreason.emulate.script import Script
from specreason.emulate.skipping import run_skipping
from specreason.engines.connect import connect
from specreason.engines.protocol import Engine
from specreason.reasoning.writer import SEEDS

ACCEPTANCES = (0.4, 0.6, 0.8)
USELESS, PERFECT = 0.0, 1.0
EMULATED = 20  # problems: enough for emulated times to settle
MOST = {"lookahead": 4, "drafts_per_step": 3}
EVERYTHING: dict[str, Any] = MOST | {"on_reject": "hedge"}
SCHEDULES: dict[str, tuple[dict[str, Any], Schedule | None]] = {
    "base": ({"scheme": "base"}, None),
    "sequential": ({}, Schedule()),
    "lookahead": ({"lookahead": 4}, Schedule(lookahead=4)),
    "hedge": ({"on_reject": "hedge"}, Schedule(hedge=True)),
    "3 drafts": ({"drafts_per_step": 3}, Schedule(drafts=3)),
    "2 drafts, lookahead": (MOST | {"drafts_per_step": 2}, Schedule(lookahead=4, drafts=2)),
    "3 drafts, lookahead": (MOST, Schedule(lookahead=4, drafts=3)),
    "all": (EVERYTHING, Schedule(lookahead=4, drafts=3, hedge=True)),
    "auto": (EVERYTHING | {"speculate": "auto"}, None),
}


@dataclass(frozen=True, slots=True)
class Drafts(Script):
    """A script in which the few drafts of a step are the same whichever streams ask for them.

    Each of the writers of one conversation has seeds of its own; here they say which draft it writes, so
    that every schedule sees, and every bound counts, the same drafts.
    """

    drafts: int = 1

    def sample(self, choice: int, seed: int | None) -> int:
        return (choice + (seed or 0) // SEEDS) % self.drafts


@dataclass(frozen=True)
class Timed:
    """Emulated seconds of all problems, the least that the schedule could take, drafts that stood."""

    seconds: float
    least: float | None
    accepted: float | None


Table = dict[str, Timed]  # by schedule


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=100, help=f"at most {EMULATED} of them on emulation")
    parser.add_argument("--profile", default="paper")
    parser.add_argument("--emulation-only", action="store_true", help="leave the pocket pair out")
    arguments = parser.parse_args()
    profile, problems = profile_named(arguments.profile), min(arguments.problems, EMULATED)
    print(f"EMULATION, profile {profile.name}: {profile.describes}; {problems} problems", flush=True)
    tables: dict[float, Table] = {}
    for acceptance in (*ACCEPTANCES, USELESS, PERFECT):
        tables[acceptance] = timed_all(profile, acceptance, problems)
        report(acceptance, tables[acceptance])
    overhead = overhead_ms(30_000, lookahead=MOST["lookahead"])
    print(f"\nown overhead per step at 30,000 tokens of context, lookahead on: {overhead:.3f} ms", flush=True)
    pocket: pocket_speed.Figures | None = None
    if not arguments.emulation_only:
        print("\nPOCKET PAIR, measured")
        pocket = pocket_speed.figures(pocket_speed.tried(arguments.problems))
    figures = result(tables, overhead, pocket)
    print(f"\nauto over base, none stands; over always, all stand: emulated {auto_over(tables)}", end="")
    print(f", pocket {(pocket.auto_over_base, pocket.auto_over_always)}" if pocket else "")
    print("RESULT", json.dumps(figures))


def result(
    tables: Mapping[float, Table], overhead: float, pocket: pocket_speed.Figures | None
) -> dict[str, Any]:
    """What is promised of the schedules, in figures. `pocket`: of the pocket pair, None if it was not run.

    Ratios named `auto_over` and `over_lower_bound` are of times, the others are speed-ups.
    """
    by = {acceptance: tables[acceptance] for acceptance in ACCEPTANCES}
    over_bound = [row.seconds / row.least for table in by.values() for row in table.values() if row.least]
    over_base, over_always = auto_over(tables)
    return {
        "emulated": {
            "best_over_sequential": {
                str(a): round(table["sequential"].seconds / best(table), 3) for a, table in by.items()
            },
            "auto_over_best_at_0.8": round(by[0.8]["auto"].seconds / best(by[0.8]), 3),
            "over_lower_bound_worst": round(max(over_bound), 3),
        },
        "auto_over_base_worst": max(over_base, pocket.auto_over_base if pocket else 0.0),
        "auto_over_always_best": max(over_always, pocket.auto_over_always if pocket else 0.0),
        "pocket": pocket and pocket.speedups,
        "overhead_ms_p50_30k": round(overhead, 3),
    }


def auto_over(tables: Mapping[float, Table]) -> tuple[float, float]:
    """Emulated time of `auto` over that of base, at worst, and over the best where all drafts stand."""
    tried = [tables[acceptance] for acceptance in (*ACCEPTANCES, USELESS)]
    over_base = max(table["auto"].seconds / table["base"].seconds for table in tried)
    return round(over_base, 3), round(tables[PERFECT]["auto"].seconds / best(tables[PERFECT]), 3)


def best(table: Table) -> float:
    """Seconds of the fastest schedule that is the same for every step."""
    return min(row.seconds for name, row in table.items() if name != "auto")


def timed_all(profile: Profile, acceptance: float, problems: int) -> Table:
    """Each schedule on the same problems."""
    rows: Table = {}
    for name, (knobs, bound) in SCHEDULES.items():
        script = Drafts(seed=1, acceptance=acceptance, drafts=knobs.get("drafts_per_step", 1))
        rows[name] = timed(profile, script, problems, knobs, bound)
    return rows


def timed(
    profile: Profile, script: Script, problems: int, knobs: dict[str, Any], bound: Schedule | None
) -> Timed:
    seconds, accepted = run_skipping(solved(profile, script, problems, knobs))
    numbers = range(problems)
    if knobs.get("scheme") == "base":
        least = sum(base_alone_s(script, profile, number) for number in numbers)
    else:
        least = sum(least_s(script, profile, n, bound) for n in numbers) if bound else None
    return Timed(seconds, least, accepted)


async def solved(
    profile: Profile, script: Script, problems: int, knobs: dict[str, Any]
) -> tuple[float, float | None]:
    """Emulated seconds, and the share of drafts that stood."""
    async with await paired(profile, script, knobs) as pair:
        started = asyncio.get_running_loop().time()
        results = [await pair.solve(f"This is problem {number}.") for number in range(problems)]
        seconds = asyncio.get_running_loop().time() - started
    for number, result in enumerate(results):
        assert f"boxed{{{result.answer}}}" in script.answer(number, ()), "the schedule changed the answer"
    drafts = sum(result.drafts for result in results)
    return seconds, sum(result.accepted for result in results) / drafts if drafts else None


async def paired(profile: Profile, script: Script, knobs: dict[str, Any]) -> SpecReason:
    """Our loop on an emulated pair of its own."""
    engines: dict[Role, Engine] = {}
    for role, model in emulated_models(script, profile).items():
        engines[role] = await connect(role, EngineSettings(url=f"http://{role}"), transport=direct(model))
    settings = {"reasoning": knobs, "sampling": {"seed": 5}}
    return SpecReason(Settings.model_validate(settings), engines=engines)


def report(acceptance: float, rows: Table) -> None:
    base = rows["base"].seconds
    print(f"\nacceptance of a draft: {acceptance}\n")
    print("| schedule | emulated s | speed-up over base | over its lower bound | steps drafted that stood |")
    print("| --- | --- | --- | --- | --- |")
    for name, row in rows.items():
        bound = f"{row.seconds / row.least:.3f}" if row.least else "-"
        stood = "-" if row.accepted is None else f"{row.accepted:.0%}"
        print(f"| {name} | {row.seconds:.1f} | {base / row.seconds:.2f} | {bound} | {stood} |", flush=True)


if __name__ == "__main__":
    main()
