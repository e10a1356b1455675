"""The schedules on the pocket pair: real models on the real engine, on this machine.

    python -m benchmarks.pocket_speed --problems 100

The first N problems of the held-out split, those of benchmarks.pocket; all schemes take turns, problem by
problem, on the same engines.

What `auto` loses at worst is seen with verdicts that are always the same: drafts are written and scored as
ever, but the threshold is one that no score reaches, or one that every score does.
"""

import argparse
import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from specreason_lab.checking import check, task
from specreason_lab.problems import problems

from benchmarks.measuring import by_name, machine, measured, points, share, stored, table, total_s
from benchmarks.pocket import SEED, seconds
from specreason import SamplingSettings, Settings
from specreason.eval.cells import Cell, cell
from specreason.eval.plan import Plan
from specreason.eval.summary import Summary, versus
from specreason.models.pair_settings import resolve
from specreason.reasoning.policies.specreason import knobs_in

PHASES = ("draft", "score", "rewrite", "base", "answer")
AUTO: dict[str, Any] = {"lookahead": 4, "drafts_per_step": 3, "on_reject": "hedge", "speculate": "auto"}
NONE_STANDS: dict[str, Any] = {"threshold": 9.0}  # the mean over digits, which is always less
ALL_STAND: dict[str, Any] = {"threshold": 0.0}
AHEAD: dict[str, dict[str, Any]] = {
    "sequential": {},
    "lookahead 1": {"lookahead": 1},
    "lookahead 2": {"lookahead": 2},
    "lookahead 4": {"lookahead": 4},
}
SPECULATING: dict[str, dict[str, Any]] = AHEAD | {
    "hedge": {"on_reject": "hedge"},
    "3 drafts": {"drafts_per_step": 3},
    "3 drafts, lookahead 4": {"drafts_per_step": 3, "lookahead": 4},
    "keep_prefix": {"on_reject": "keep_prefix"},
    "steps of a line": {"step_delimiter": "\n"},
    "auto": AUTO,
    "specreason+decode": {"scheme": "specreason+decode"},
    "specreason+decode, keep_prefix": {"scheme": "specreason+decode", "on_reject": "keep_prefix"},
}
ALONE: dict[str, dict[str, Any]] = {name: {"scheme": name} for name in ("base", "small", "base+decode")}
# Further drafts and a hedge can bring nothing where every draft stands: `always` is the best of these.
ALWAYS = {f"{name}, all stand": knobs | ALL_STAND for name, knobs in AHEAD.items()}
WORST = {"auto, none stands": AUTO | NONE_STANDS, "auto, all stand": AUTO | ALL_STAND}
SCHEMES = ALONE | SPECULATING | ALWAYS | WORST

Table = Mapping[str, Summary]  # by scheme


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
    rows = tried(arguments.problems, arguments.temperature, schemes, threads)
    if set(rows) == set(SCHEMES):
        print(figures(rows))


def tried(
    count: int,
    temperature: float = SamplingSettings().temperature,
    schemes: Iterable[str] = SCHEMES,
    threads: Mapping[str, int | None] | None = None,
) -> Table:
    """`schemes` on so many problems; prints the machine, the settings and the tables."""
    engines = {role: {"threads": number} for role, number in (threads or {}).items() if number}
    sampling = {"temperature": temperature}
    settings = resolve(Settings.model_validate({"pair": "pocket", "sampling": sampling, **engines}))
    machine()
    print_settings(settings)
    cells = {name: cell_of(SCHEMES[name]) for name in schemes}
    plan = Plan(task("pocket-speed", islice(problems(SEED, "test"), count)), list(cells.values()), settings)
    with stored(None) as store:
        rows = by_name(asyncio.run(measured(plan, store, check=check)), cells)
    report(rows)
    return rows


def cell_of(knobs: Mapping[str, Any]) -> Cell:
    """The cell of one of `SCHEMES`."""
    return cell(knobs.get("scheme", "specreason"), **{k: v for k, v in knobs.items() if k != "scheme"})


def print_settings(settings: Settings) -> None:
    for role, engine in (("base", settings.base), ("small", settings.small)):
        print(
            f"{role}: {engine.model}, {engine.context} tokens of cache for each place, "
            f"threads: {engine.threads or 'physical cores'}, draft_tokens: {engine.draft_tokens}"
        )
    judge, temperature = knobs_in(settings), settings.sampling.temperature
    print(f"threshold {judge.threshold:g} ({judge.judge_method}), temperature {temperature:g}", flush=True)


def report(rows: Table) -> None:
    """Two tables: what each scheme comes to, and where its time goes."""
    references = [rows.get("base"), rows.get("sequential")]
    table(
        ["scheme", "accuracy", "less base, 95% interval", "median s", "total s", "over base",
         "over sequential", "accepted"],
        [
            [
                name,
                share(mine.accuracy.value),
                points(mine, rows.get("base")),
                f"{mine.median_s.value:.3f}" if mine.median_s else "-",
                f"{total_s(mine):.1f}",
                *(f"{total_s(other) / total_s(mine):.2f}" if other else "-" for other in references),
                share(mine.acceptance),
            ]
            for name, mine in rows.items()
        ],
    )  # fmt: skip
    print("\nSeconds waited for the models, by what for; where things overlap they add up to more than all.")
    waited = {name: [seconds(mine, phase) for phase in PHASES] for name, mine in rows.items()}
    table(
        ["scheme", *PHASES, "all"],
        [
            [name, *(f"{phase:.1f}" for phase in phases), f"{total_s(rows[name]):.1f}"]
            for name, phases in waited.items()
        ],
    )


def figures(rows: Table) -> Figures:
    """The figures of all schemes. The best is the fastest that is not surely less right than base."""

    def over(slower: str, faster: str) -> float:
        return round(total_s(rows[slower]) / total_s(rows[faster]), 3)

    def rank(name: str) -> tuple[bool, float]:
        return versus(rows["base"].runs, rows[name].runs).accuracy.high >= 0, over("base", name)

    best = max(SPECULATING, key=rank)
    always = max(over("auto, all stand", name) for name in ALWAYS)
    speedups = {
        "sequential_over_base": over("base", "sequential"),
        "best_over_base": over("base", best),
        "best_over_sequential": over("sequential", best),
        "best": best,
        "decode_over_base": over("base", "base+decode"),
        "specreason_decode_over_decode": over("base+decode", "specreason+decode"),
        "accuracy_base": round(rows["base"].accuracy.value, 4),
        "accuracy_best": round(rows[best].accuracy.value, 4),
    }
    return Figures(speedups, over("auto, none stands", "base"), always)


if __name__ == "__main__":
    main()
