"""What `auto` costs where speculation hardly pays: the language pair on word problems, against base alone.

    python -m benchmarks.auto_language --problems 60

Greedy, on the first N problems of a JSON Lines file of {"id", "problem", "answer"}. The two schemes take
turns at who goes first, on the same engines; each finds the problem alone in the cache. Results go to a file
as they come, and a run that was stopped goes on from there (where `auto` has to learn the costs again).
"""

import argparse
import asyncio
import json
import platform
import statistics
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from specreason_lab.side_by_side import forget

from benchmarks.core import PROBLEMS, processor, same_number
from specreason import ReasoningSettings, SamplingSettings, Settings, SpecReason

# Further drafts and a hedge would share these cores with what they run beside.
SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "base": {"scheme": "base"},
    "auto": {"lookahead": 4, "speculate": "auto"},
}
LIMITS: dict[str, Any] = {"token_budget": 1024, "max_step_tokens": 256}
GREEDY = SamplingSettings(temperature=0, top_p=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--file", type=Path, default=PROBLEMS)
    parser.add_argument("--pair", default="qwen-coder")
    parser.add_argument("--out", type=Path, default=Path(".cache/auto-language.jsonl"))
    arguments = parser.parse_args()
    print(f"machine: {processor()}, Python {platform.python_version()}", flush=True)
    problems = [json.loads(line) for line in arguments.file.read_text().splitlines()[: arguments.problems]]
    report(asyncio.run(measured(problems, arguments.pair, arguments.out)))


async def measured(problems: list[dict[str, str]], pair: str, out: Path) -> list[dict[str, Any]]:
    """A row for each problem and scheme, those of `out` among them."""
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    settings = Settings(pair=pair)
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(SpecReason(settings))
        own = {
            name: await stack.enter_async_context(SpecReason(settings, engines=host.engines))
            for name in SCHEMES
        }
        kept = stack.enter_context(out.open("a", buffering=1))
        done = {(row["id"], row["scheme"]) for row in rows}
        for number, problem in enumerate(problems):
            for name in list(SCHEMES)[:: -1 if number % 2 else 1]:
                if (problem["id"], name) in done:
                    continue
                await forget(host, problem["problem"])
                reasoning = ReasoningSettings.model_validate({**LIMITS, **SCHEMES[name]})
                begun = time.perf_counter()
                result = await own[name].solve(problem["problem"], reasoning=reasoning, sampling=GREEDY)
                row = {
                    "id": problem["id"],
                    "scheme": name,
                    "seconds": time.perf_counter() - begun,
                    "right": same_number(result.answer, problem["answer"]),
                    "drafts": result.drafts,
                    "accepted": result.accepted,
                    "phases": dict(result.seconds),
                }
                rows.append(row)
                kept.write(json.dumps(row) + "\n")
                print(
                    f"{problem['id']:>18} {name:>5} {row['seconds']:6.1f} s, {result.drafts} drafts",
                    flush=True,
                )
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """Over the problems that both schemes have done."""
    by = {name: {row["id"]: row for row in rows if row["scheme"] == name} for name in SCHEMES}
    both = sorted(by["base"].keys() & by["auto"].keys())
    print(
        "\n| scheme | right | total s | median s | drafts | accepted |\n| --- | --- | --- | --- | --- | --- |"
    )
    total: dict[str, float] = {}
    for name, mine in by.items():
        done = [mine[key] for key in both]
        seconds = [row["seconds"] for row in done]
        total[name] = sum(seconds)
        print(
            f"| {name} | {sum(row['right'] for row in done)} of {len(done)} | {total[name]:.0f} | "
            f"{statistics.median(seconds):.1f} | {sum(row['drafts'] for row in done)} | "
            f"{sum(row['accepted'] for row in done)} |"
        )
    spent = {
        phase: round(sum(by["auto"][key]["phases"].get(phase, 0.0) for key in both), 1)
        for phase in ("draft", "score", "rewrite", "base", "answer")
    }
    print(f"auto waited (s): {spent}")
    print(
        "RESULT",
        json.dumps({"problems": len(both), "auto_over_base": round(total["auto"] / total["base"], 3)}),
    )


if __name__ == "__main__":
    main()
