"""The method's gain on the pocket pair: accuracy, speed-up, acceptance, the judge's quality, the regime.

    python -m benchmarks.pocket --problems 100

Problems are the first N of the held-out split. All schemes and thresholds are interleaved problem by
problem, so that a drifting machine hits all alike. The machine's regime is measured in the same run.
"""

import argparse
import asyncio
import json
import platform
import statistics
from contextlib import aclosing
from itertools import islice

from specreason_lab import figures
from specreason_lab.problems import Split, problems
from specreason_lab.side_by_side import Judged, Solved, side_by_side

from benchmarks.core import processor
from specreason import ReasoningSettings, Settings
from specreason.models.catalogue import POCKET_PAIR
from specreason.models.pair_settings import resolve

SEED = 2
SALVAGE = "specreason, salvage"  # at the pair's own threshold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--split", choices=["test", "hard"], default="test")
    parser.add_argument("--pair", default=POCKET_PAIR, help="one that was trained on the lab's problems")
    parser.add_argument("--thresholds", default="", help="for example 1,3,5,7,9; the pair's own if empty")
    parser.add_argument("--temperature", type=float, default=0.6)
    arguments = parser.parse_args()
    print(f"machine: {processor()}, Python {platform.python_version()}", flush=True)
    rows, threshold = asyncio.run(run(arguments))
    report(rows, threshold)


async def run(arguments: argparse.Namespace) -> tuple[list[Solved], float]:
    """All runs, and the threshold that the pair uses if nobody sets one."""
    split: Split = arguments.split
    settings = resolve(Settings(pair=arguments.pair))
    own = settings.reasoning.threshold
    schemes = {
        name: ReasoningSettings.model_validate({"scheme": name}) for name in ("base", "small", "specreason")
    }
    schemes[SALVAGE] = ReasoningSettings(salvage=True)
    for value in [float(text) for text in arguments.thresholds.split(",") if text]:
        if value != own:
            schemes[f"specreason >= {value:g}"] = ReasoningSettings(threshold=value)
    rows: list[Solved] = []
    sample = islice(problems(SEED, split), arguments.problems)
    async with aclosing(side_by_side(sample, schemes, settings, arguments.temperature)) as runs:
        async for row in runs:
            rows.append(row)
            if row.problem % 25 == 24 and len(rows) % len(schemes) == 0:
                print(f"{row.problem + 1} problems ...", flush=True)
    return rows, own


def report(rows: list[Solved], threshold: float) -> None:
    labels = sorted({row.label for row in rows}, key=lambda label: (label.startswith("spec"), label))
    by = {label: [row for row in rows if row.label == label] for label in labels}
    base, small, ours = by["base"], by["small"], by["specreason"]
    print("\n| scheme | accuracy | less base, 95% interval | median s | speed-up | accepted |")
    print("| --- | --- | --- | --- | --- | --- |")
    for label, mine in by.items():
        low, high = figures.paired_interval(base, mine)
        accepted = figures.acceptance(mine) if label.startswith("spec") else None
        name = f"{label} >= {threshold:g} (default)" if label in {"specreason", SALVAGE} else label
        print(
            f"| {name} | {figures.accuracy(mine):.1%} | {low:+.1%} to {high:+.1%} | "
            f"{statistics.median(row.seconds for row in mine):.3f} | {figures.speedup(base, mine):.2f} | "
            f"{'-' if accepted is None else f'{accepted:.1%}'} |"
        )
    judged: list[Judged] = [j for row in ours for j in row.judged]
    auc = figures.auc(judged)
    print(
        f"\nthe judge, on {len(judged)} drafts ({sum(not j.right for j in judged)} of them wrong): AUC {auc}"
    )
    print("\n| mean score | share of right steps | steps |\n| --- | --- | --- |")
    for score, right, count in figures.reliability(judged):
        print(f"| {score:.2f} | {right:.1%} | {count} |")
    regime = figures.regime(base, small, ours)
    milliseconds = {name: seconds * 1000 for name, seconds in regime.step.items()}
    print(f"\na step of mean length: {', '.join(f'{n} {ms:.1f} ms' for n, ms in milliseconds.items())}")
    spent = {
        phase: sum(row.result.seconds.get(phase, 0) for row in ours)
        for phase in ("draft", "score", "rewrite")
    }
    print(f"{max(spent, key=lambda phase: spent[phase])} dominates: {spent}")
    print(
        "RESULT",
        json.dumps(
            {
                "accuracy": {n: round(figures.accuracy(by[n]), 4) for n in by if ">" not in n},
                "speedup": {
                    n: round(figures.speedup(base, by[n]), 3) for n in by if ">" not in n and n != "base"
                },
                "acceptance_rate": round(figures.acceptance(ours) or 0, 4),
                "judge_auc": None if auc is None else round(auc, 4),
                "decode_ratio_base_to_small": round(regime.decode_ratio, 2),
                "score_to_write_ratio_base": round(regime.score_ratio, 3),
                "threshold": threshold,
            }
        ),
    )


if __name__ == "__main__":
    main()
