"""The schedules on the pocket pair: real models on the real engine, on this machine.

    python -m benchmarks.pocket_speed --problems 100

The first N problems of the held-out split, those of benchmarks.pocket; all schemes take turns, problem by
problem. All share their engines; reading the problem again keeps one scheme's chain from the next.

What `auto` loses at worst is seen with verdicts that are always the same: drafts are written and scored as
ever, but the threshold is one that no score reaches, or one that every score does.
"""

import argparse
import asyncio
import platform
import random
import statistics
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from specreason_lab import figures
from specreason_lab.problems import problems
from specreason_lab.side_by_side import Solved, forget, solved

from benchmarks.core import processor
from benchmarks.pocket import SEED
from specreason import ReasoningSettings, SamplingSettings, Settings, SpecReason
from specreason.engines.opening import engines_of

PHASES = ("draft", "score", "rewrite", "base", "answer")
# A cache for each place at which a model may work for one problem: a hedge beside the verdicts, three drafts.
ROOM = {"base": 2, "small": 3}
AUTO: dict[str, Any] = {"lookahead": 4, "drafts_per_step": 3, "hedge": True, "speculate": "auto"}
NONE_STANDS: dict[str, Any] = {"threshold": 10.0}  # scores end at 9
ALL_STAND: dict[str, Any] = {"threshold": 0.0}
AHEAD: dict[str, dict[str, Any]] = {
    "sequential": {},
    "lookahead 1": {"lookahead": 1},
    "lookahead 2": {"lookahead": 2},
    "lookahead 4": {"lookahead": 4},
}
SPECULATING: dict[str, dict[str, Any]] = AHEAD | {
    "hedge": {"hedge": True},
    "3 drafts": {"drafts_per_step": 3},
    "3 drafts, lookahead 4": {"drafts_per_step": 3, "lookahead": 4},
    "salvage": {"salvage": True},
    "steps of a line": {"step_delimiter": "\n"},
    "auto": AUTO,
    "specreason+decode": {"scheme": "specreason+decode"},
    "specreason+decode, salvage": {"scheme": "specreason+decode", "salvage": True},
}
ALONE: dict[str, dict[str, Any]] = {name: {"scheme": name} for name in ("base", "small", "base+decode")}
# Further drafts and a hedge can bring nothing where every draft stands: `always` is the best of these.
ALWAYS = {f"{name}, all stand": knobs | ALL_STAND for name, knobs in AHEAD.items()}
WORST = {"auto, none stands": AUTO | NONE_STANDS, "auto, all stand": AUTO | ALL_STAND}
SCHEMES = ALONE | SPECULATING | ALWAYS | WORST

Rows = Mapping[str, list[Solved]]  # by scheme


@dataclass(frozen=True)
class Figures:
    """What is promised of the schedules on the pocket pair. `auto_over_*`: ratios of times."""

    speedups: Mapping[str, Any]
    auto_over_base: float
    auto_over_always: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--temperature", type=float, default=SamplingSettings().temperature)
    parser.add_argument("--base-threads", type=int, help="those of the pair if not set")
    parser.add_argument("--small-threads", type=int)
    parser.add_argument("--schemes", help=f"some of: {'; '.join(SCHEMES)}")
    arguments = parser.parse_args()
    threads = {"base": arguments.base_threads, "small": arguments.small_threads}
    schemes = arguments.schemes.split("; ") if arguments.schemes else SCHEMES
    rows = measured(arguments.problems, arguments.temperature, schemes, threads)
    if set(rows) == set(SCHEMES):
        print(told(rows))


def measured(
    count: int,
    temperature: float = SamplingSettings().temperature,
    schemes: Iterable[str] = SCHEMES,
    threads: Mapping[str, int | None] | None = None,
) -> Rows:
    """All runs of `schemes` on so many problems; prints the machine, the settings and the tables."""
    set_alike = {
        role: {"parallel": room} | ({"threads": n} if (n := (threads or {}).get(role)) else {})
        for role, room in ROOM.items()
    }
    settings = Settings.model_validate({"pair": "pocket", **set_alike})
    print(f"machine: {processor()}, Python {platform.python_version()}", flush=True)
    rows = asyncio.run(_measured(settings, count, temperature, list(schemes)))
    report(rows)
    return rows


async def _measured(settings: Settings, count: int, temperature: float, schemes: list[str]) -> Rows:
    rows: dict[str, list[Solved]] = {name: [] for name in schemes}
    roles = engines_of(str(SCHEMES[name].get("scheme", "specreason")) for name in schemes)
    async with AsyncExitStack() as stack:
        pair = await stack.enter_async_context(SpecReason(settings, roles=roles))
        print_settings(pair.settings, temperature)
        own: dict[str, SpecReason] = {}  # each learns for itself what speculation costs and brings
        for name in schemes:
            alike = SpecReason(settings, roles=roles, engines=pair.engines, decoder=pair.decoder)
            own[name] = await stack.enter_async_context(alike)
        runs = await stack.enter_async_context(aclosing(in_turn(own, count, temperature)))
        async for row in runs:
            rows[row.label].append(row)
            if sum(map(len, rows.values())) % (25 * len(schemes)) == 0:
                print(f"{row.problem + 1} problems ...", flush=True)
    return rows


async def in_turn(
    pairs: Mapping[str, SpecReason], count: int, temperature: float
) -> AsyncGenerator[Solved, None]:
    """Every problem under every scheme, each time in a new order: no two always share a busy moment."""
    for number, problem in enumerate(islice(problems(SEED, "test"), count)):
        sampling = SamplingSettings(temperature=temperature, seed=number)
        for name in random.Random(number).sample(list(pairs), len(pairs)):
            # Copied, not validated: the threshold that nothing reaches is past the range of the setting.
            reasoning = ReasoningSettings().model_copy(update=SCHEMES[name])
            await forget(pairs[name], problem.text)
            yield await solved(pairs[name], problem, reasoning, sampling, number=number, label=name)


def print_settings(settings: Settings, temperature: float) -> None:
    for role, engine in (("base", settings.base), ("small", settings.small)):
        print(
            f"{role}: {engine.model}, {engine.parallel} x {engine.context} tokens of cache, "
            f"threads: {engine.threads or 'physical cores'}, draft_tokens: {engine.draft_tokens}"
        )
    judge = settings.reasoning
    print(f"threshold {judge.threshold:g} ({judge.judge_method}), temperature {temperature:g}", flush=True)


def report(rows: Rows) -> None:
    """Two tables: what each scheme comes to, and where its time goes."""
    base, sequential = rows.get("base"), rows.get("sequential")
    print("\n| scheme | accuracy | less base, 95% interval | median s | total s | over base | ", end="")
    print("over sequential | accepted |\n|" + " --- |" * 8)
    for name, mine in rows.items():
        less = "{:+.1%} to {:+.1%}".format(*figures.paired_interval(base, mine)) if base else "-"
        seconds = [row.seconds for row in mine]
        accepted = figures.acceptance(mine) if name not in ALONE else None
        over = [f"{figures.speedup(other, mine):.2f}" if other else "-" for other in (base, sequential)]
        print(
            f"| {name} | {figures.accuracy(mine):.1%} | {less} | "
            f"{statistics.median(seconds):.3f} | {sum(seconds):.1f} | {' | '.join(over)} | "
            f"{'-' if accepted is None else f'{accepted:.1%}'} |"
        )
    print("\nSeconds waited for the models, by what for; where things overlap they add up to more than all.")
    print(f"\n| scheme | {' | '.join(PHASES)} | all |\n|" + " --- |" * (len(PHASES) + 2))
    for name, mine in rows.items():
        waited = [sum(row.result.seconds.get(phase, 0.0) for row in mine) for phase in PHASES]
        whole = sum(row.seconds for row in mine)
        print(f"| {name} | {' | '.join(f'{seconds:.1f}' for seconds in waited)} | {whole:.1f} |", flush=True)


def told(rows: Rows) -> Figures:
    """The figures of all schemes. The best is the fastest that is not surely less right than base."""

    def over(slower: str, faster: str) -> float:
        return round(figures.speedup(rows[slower], rows[faster]), 3)

    def rank(name: str) -> tuple[bool, float]:
        return figures.paired_interval(rows["base"], rows[name])[1] >= 0, over("base", name)

    best = max(SPECULATING, key=rank)
    always = max(over("auto, all stand", name) for name in ALWAYS)
    speedups = {
        "sequential_over_base": over("base", "sequential"),
        "best_over_base": over("base", best),
        "best_over_sequential": over("sequential", best),
        "best": best,
        "decode_over_base": over("base", "base+decode"),
        "specreason_decode_over_decode": over("base+decode", "specreason+decode"),
        "accuracy_base": round(figures.accuracy(rows["base"]), 4),
        "accuracy_best": round(figures.accuracy(rows[best]), 4),
    }
    return Figures(speedups, over("auto, none stands", "base"), always)


if __name__ == "__main__":
    main()
