"""The core: accuracy and time of the three schemes, cache share by the engine's own count, own overhead.

    make bench-core N=5

Problems are the first N of a JSON Lines file of {"id", "problem", "answer"}. Schemes are interleaved problem
by problem, so that a drifting machine hits all alike. Results go to a file as they come; a run that was
interrupted goes on from there with --resume.
"""

import argparse
import asyncio
import json
import platform
import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.metering import MeteredEngine, SeenCall
from specreason import ReasoningSettings, SamplingSettings, Settings, SpecReason
from specreason.engines.scripted import ScriptedEngine

PROBLEMS = Path("../shared/data/gsm8k_dev.jsonl")
SCHEMES = ("base", "small", "specreason")
OVERHEAD_STEPS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=5)
    parser.add_argument("--skip", type=int, default=0, help="problems to pass over first")
    parser.add_argument("--schemes", default=",".join(SCHEMES))
    parser.add_argument("--file", type=Path, default=PROBLEMS)
    parser.add_argument("--out", type=Path, default=Path(".cache/bench-core.jsonl"))
    parser.add_argument("--resume", action="store_true", help="keep what --out holds already")
    parser.add_argument("--instruction", default="auto")
    parser.add_argument("--threshold", type=float, default=7.0)
    arguments = parser.parse_args()
    print(f"machine: {processor()}, Python {platform.python_version()}", flush=True)
    overhead = {tokens: overhead_ms(tokens) for tokens in (1_000, 30_000)}
    for tokens, milliseconds in overhead.items():
        print(f"own overhead per step at {tokens} tokens of context: {milliseconds:.3f} ms (median)")
    rows = asyncio.run(solve_all(arguments))
    report(rows, overhead)


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
            if event.event == "step_accepted":
                last = time.thread_time(), sum(engine.inside_s for engine in engines.values())
                first, count = first or last, count + 1
    assert first is not None
    return ((last[0] - first[0]) - (last[1] - first[1])) / (count - 1) * 1000


async def solve_all(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    out: Path = arguments.out
    out.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    if arguments.resume and out.exists():
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    done = {(row["id"], row["scheme"]) for row in rows}
    lines = arguments.file.read_text().splitlines()[arguments.skip :][: arguments.problems]
    problems = [json.loads(line) for line in lines]
    schemes = arguments.schemes.split(",")
    async with SpecReason(Settings()) as pair:
        base, small = MeteredEngine(pair.engines["base"]), MeteredEngine(pair.engines["small"])
        # "inline": what the embedded engines get by default.
        metered = SpecReason(Settings(), engines={"base": base, "small": small})
        async with metered:
            with out.open("a" if arguments.resume else "w", buffering=1) as kept:
                for number, problem in enumerate(problems):
                    for scheme in (schemes[(number + k) % len(schemes)] for k in range(len(schemes))):
                        if (problem["id"], scheme) in done:
                            continue
                        base.calls.clear()
                        small.calls.clear()
                        row = await solve_one(metered, problem, scheme, arguments, (base, small))
                        rows.append(row)
                        kept.write(json.dumps(row) + "\n")
                        print(
                            f"{problem['id']:>18} {scheme:>10} {'right' if row['right'] else 'wrong'} "
                            f"{row['seconds']:6.1f} s  {row['answer']}",
                            flush=True,
                        )
    return rows


async def solve_one(
    pair: SpecReason,
    problem: dict[str, str],
    scheme: str,
    arguments: argparse.Namespace,
    engines: Sequence[MeteredEngine],
) -> dict[str, Any]:
    reasoning = ReasoningSettings.model_validate(
        {
            "scheme": scheme,
            "token_budget": 1024,
            "max_step_tokens": 256,
            "instruction": arguments.instruction,
            "threshold": arguments.threshold,
        }
    )
    row: dict[str, Any] = {"id": problem["id"], "scheme": scheme, "error": None}
    started = time.perf_counter()
    try:
        result = await pair.solve(
            problem["problem"], reasoning=reasoning, sampling=SamplingSettings(temperature=0, top_p=1)
        )
    except Exception as error:
        return row | {"error": repr(error), "right": False, "answer": None, "seconds": 0.0, "calls": []}
    calls = [call for engine in engines for call in engine.calls[1:]]  # after each engine's first step
    return row | {
        "right": same_number(result.answer, problem["answer"]),
        "answer": result.answer,
        "expected": problem["answer"],
        "seconds": time.perf_counter() - started,
        "drafts": result.drafts,
        "accepted": result.accepted,
        "ended": result.ended,
        "phases": dict(result.seconds),
        "calls": [counts(call) for call in calls if call.cached is not None],
    }


def counts(call: SeenCall) -> tuple[str, int, int, int]:
    # A call cut short may have left more in the cache than it delivered: seen, if it is found there.
    return (call.kind, call.prompt, call.cached or 0, max(call.reusable, call.cached or 0))


def same_number(answer: str | None, expected: str) -> bool:
    """Whether the last number of the answer is the expected one."""
    numbers = re.findall(
        r"-?\d+(?:\.\d+)?", (answer or "").replace(",", "").replace("{", "").replace("}", "")
    )
    return bool(numbers) and float(numbers[-1]) == float(expected.replace(",", ""))


def report(rows: Sequence[dict[str, Any]], overhead: dict[int, float]) -> None:
    calls = [call for row in rows if row["scheme"] == "specreason" for call in row["calls"]]
    accuracy = {s: share([row["right"] for row in rows if row["scheme"] == s]) for s in SCHEMES}
    drafts = sum(row.get("drafts", 0) for row in rows if row["scheme"] == "specreason")
    accepted = sum(row.get("accepted", 0) for row in rows if row["scheme"] == "specreason")
    prompt, cached, reusable = (sum(call[k] for call in calls) for k in (1, 2, 3))
    print(
        "\n| scheme | problems | accuracy | median seconds | acceptance rate | cached / all prompt tokens |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for scheme in SCHEMES:
        mine = [row for row in rows if row["scheme"] == scheme]
        seconds = statistics.median(row["seconds"] for row in mine) if mine else 0.0
        asked = [call for row in mine for call in row["calls"]]
        kept = sum(c[2] for c in asked) / (sum(c[1] for c in asked) or 1) if asked else None
        print(
            f"| {scheme} | {len(mine)} | {accuracy[scheme]:.0%} | {seconds:.1f} | "
            f"{f'{accepted / drafts:.0%}' if scheme == 'specreason' and drafts else '-'} | "
            f"{f'{kept:.1%}' if kept is not None else '-'} |"
        )
    worst = min((call[2] / call[3] for call in calls if call[3] > 0), default=0.0)
    print(
        f"\nafter the first step: {cached} of {prompt} prompt tokens cached ({cached / (prompt or 1):.1%});\n"
        f"of the {reusable} that the engine had seen before, {cached / (reusable or 1):.1%}; "
        f"worst call {worst:.1%}"
    )
    print(
        "RESULT",
        json.dumps(
            {
                "accuracy": accuracy,
                "acceptance_rate": round(accepted / drafts, 3) if drafts else None,
                "cached_token_share": round(cached / (prompt or 1), 4),
                "cached_share_of_seen_tokens": round(cached / (reusable or 1), 4),
                "cached_share_of_seen_tokens_worst_call": round(worst, 4),
                "overhead_ms_p50_1k": round(overhead[1_000], 3),
                "overhead_ms_p50_30k": round(overhead[30_000], 3),
                "errors": sum(row["error"] is not None for row in rows),
            }
        ),
    )


def share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 3) if values else 0.0


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    main()
