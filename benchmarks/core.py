"""The core: accuracy and time of the three schemes, cache share by the engine's own count, own overhead.

    make bench-core N=5

Schemes take turns, problem by problem, so that a drifting machine hits all alike. With --store a run that was
interrupted goes on from there; cache shares are then of the runs made since.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from benchmarks.measuring import add_task, by_name, chosen_task, machine, share, stored, table
from benchmarks.metering import MeteredEngine, SeenCall
from specreason import ReasoningSettings, Settings, SpecReason
from specreason.config.scheme import Role
from specreason.engines.protocol import Engine
from specreason.engines.scripted import ScriptedEngine
from specreason.eval.cells import cell
from specreason.eval.plan import Plan, with_room
from specreason.eval.runner import opened_study
from specreason.eval.store import Store
from specreason.eval.study import read_study
from specreason.eval.summary import Summary
from specreason.models.pair_settings import resolve

SCHEMES = ("base", "small", "specreason")
OVERHEAD_STEPS = 60
GREEDY = {"temperature": 0, "top_p": 1}

Calls = dict[str, list[SeenCall]]  # by scheme


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_task(parser, 5)
    parser.add_argument("--schemes", default=",".join(SCHEMES))
    parser.add_argument("--store", type=Path, help="a file that is gone on with (default: none is kept)")
    parser.add_argument("--instruction", default="auto")
    parser.add_argument("--threshold", type=float, default=7.0)
    arguments = parser.parse_args()
    machine()
    overhead = {tokens: overhead_ms(tokens) for tokens in (1_000, 30_000)}
    for tokens, milliseconds in overhead.items():
        print(f"own overhead per step at {tokens} tokens of context: {milliseconds:.3f} ms (median)")
    method = {"instruction": arguments.instruction, "token_budget": 1024, "max_step_tokens": 256}
    policy = {"specreason": {"threshold": arguments.threshold}}
    common = resolve(Settings.model_validate({"reasoning": method, "policy": policy, "sampling": GREEDY}))
    cells = {scheme: cell(scheme) for scheme in arguments.schemes.split(",")}
    plan = Plan(chosen_task(arguments), list(cells.values()), common)
    with stored(arguments.store) as store:
        calls = asyncio.run(metered(plan, store))
        report(by_name(read_study(store), cells), calls, overhead)


def overhead_ms(context_tokens: int, runs: int = 7, **reasoning: Any) -> float:
    """Median over runs of (processor time less that of the engines) per step, with scripted engines.

    Processor time, so that other work on the machine does not count. A run's steps are taken together: with
    lookahead the work for several falls between two events.
    """
    return statistics.median(asyncio.run(_overhead_ms(context_tokens, reasoning)) for _ in range(runs))


async def _overhead_ms(context_tokens: int, reasoning: dict[str, Any]) -> float:
    problem = " ".join(["word"] * context_tokens)
    steps = [
        f"Step {n} takes the last value and adds {n} to it, which is noted.\n\n"
        for n in range(OVERHEAD_STEPS)
    ]
    engines = {
        name: MeteredEngine(
            ScriptedEngine(
                name,
                steps=[*steps, "Done.</think>"],
                answer="42",
                scores={" 7 to it": "0"},
                record=False,
            ),
            lists_calls=False,
        )
        for name in ("base", "small")
    }
    settings = Settings(reasoning=ReasoningSettings.model_validate(reasoning))
    first: tuple[float, float] | None = None
    last, count = (0.0, 0.0), 0
    async with SpecReason(settings, engines={"base": engines["base"], "small": engines["small"]}) as pair:
        async for event in pair.stream(problem):
            if event.event == "step_kept":
                last = time.thread_time(), sum(engine.inside_s for engine in engines.values())
                first, count = first or last, count + 1
    assert first is not None
    return ((last[0] - first[0]) - (last[1] - first[1])) / (count - 1) * 1000


async def metered(plan: Plan, store: Store) -> Calls:
    """Make the runs of the plan; the calls that the engines saw, without each engine's first one of a run."""
    seen: Calls = {}
    async with SpecReason(with_room(plan), roles=("base", "small")) as pair:
        meters = [MeteredEngine(engine) for engine in pair.pair.engines.values()]
        engines: dict[Role, Engine] = dict(zip(pair.pair.engines, meters, strict=True))
        async with opened_study(plan, store, engines=engines) as study, aclosing(study.rows()) as rows:
            async for row in rows:
                scheme = row.cell.split()[0]
                for engine in meters:
                    seen.setdefault(scheme, []).extend(of_last_run(engine.calls)[1:])
                    engine.calls.clear()
                name = plan.task.problems[row.position].id
                verdict = row.error or ("right" if row.right else "wrong")
                print(f"{name:>18} {scheme:>10} {verdict} {row.seconds:6.1f} s  {row.answer}", flush=True)
    return seen


def of_last_run(calls: Sequence[SeenCall]) -> list[SeenCall]:
    """The calls of the conversation that came last: before it the problem was read, unmeasured."""
    return [call for call in calls if call.session == calls[-1].session and call.cached is not None]


def report(by: Mapping[str, Summary], calls: Calls, overhead: Mapping[int, float]) -> None:
    ours = calls.get("specreason", [])
    prompt, cached = sum(call.prompt for call in ours), sum(call.cached or 0 for call in ours)
    reusable = sum(map(found_again, ours))
    table(
        ["scheme", "problems", "accuracy", "median seconds", "acceptance rate", "cached / all prompt tokens"],
        [
            [
                scheme,
                str(len(mine.runs.rows)),
                f"{mine.accuracy.value:.0%}",
                f"{mine.median_s.value:.1f}" if mine.median_s else "-",
                share(mine.acceptance),
                share(cached_share(calls.get(scheme, []))),
            ]
            for scheme, mine in by.items()
        ],
    )
    worst = min(
        ((call.cached or 0) / found_again(call) for call in ours if found_again(call) > 0), default=0.0
    )
    print(
        f"\nafter the first step: {cached} of {prompt} prompt tokens cached ({cached / (prompt or 1):.1%});\n"
        f"of the {reusable} that the engine had seen before, {cached / (reusable or 1):.1%}; "
        f"worst call {worst:.1%}"
    )
    acceptance = by["specreason"].acceptance if "specreason" in by else None
    figures = {
        "accuracy": {
            scheme: round(by[scheme].accuracy.value, 3) if scheme in by else 0.0 for scheme in SCHEMES
        },
        "acceptance_rate": None if acceptance is None else round(acceptance, 3),
        "cached_token_share": round(cached / (prompt or 1), 4),
        "cached_share_of_seen_tokens": round(cached / (reusable or 1), 4),
        "cached_share_of_seen_tokens_worst_call": round(worst, 4),
        "overhead_ms_p50_1k": round(overhead[1_000], 3),
        "overhead_ms_p50_30k": round(overhead[30_000], 3),
        "errors": sum(mine.errors for mine in by.values()),
    }
    print("RESULT", json.dumps(figures))


def found_again(call: SeenCall) -> int:
    """Tokens that the engine had seen before. A call cut short may have left more than it delivered."""
    return max(call.reusable, call.cached or 0)


def cached_share(calls: Sequence[SeenCall]) -> float | None:
    return (
        sum(call.cached or 0 for call in calls) / (sum(call.prompt for call in calls) or 1) if calls else None
    )


if __name__ == "__main__":
    main()
