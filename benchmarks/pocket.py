"""The method's gain on the pocket pair: accuracy, speed-up, acceptance, the judge's quality, the regime.

    python -m benchmarks.pocket --problems 100

Problems are the first N of the held-out split. All schemes and thresholds take turns, problem by problem, so
that a drifting machine hits all alike. The machine's regime is measured in the same run.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import islice

from specreason_lab.checking import check, scored_drafts, task
from specreason_lab.problems import problems

from benchmarks.measuring import by_name, machine, measured, points, share, stored, table, total_s
from specreason import Settings
from specreason.eval.calibration.judging_statistics import ScoredStep, auc, reliability
from specreason.eval.cells import cell
from specreason.eval.plan import Plan
from specreason.eval.store import RunKey
from specreason.eval.summary import Summary
from specreason.models.catalogue import POCKET_PAIR
from specreason.models.pair_settings import resolve
from specreason.reasoning.policies.specreason import knobs_in

SEED = 2
ALONE = {"base": cell("base"), "small": cell("small")}
AT_ITS_OWN = {  # at the pair's own threshold
    "specreason": cell("specreason"),
    "specreason, keep_prefix": cell("specreason", on_reject="keep_prefix"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--split", choices=["test", "hard"], default="test")
    parser.add_argument("--pair", default=POCKET_PAIR, help="one that was trained on the lab's problems")
    parser.add_argument("--thresholds", default="", help="for example 1,3,5,7,9; the pair's own if empty")
    parser.add_argument("--temperature", type=float, default=0.6)
    arguments = parser.parse_args()
    machine()
    sampling = {"temperature": arguments.temperature}
    settings = resolve(Settings.model_validate({"pair": arguments.pair, "sampling": sampling}))
    own = knobs_in(settings).threshold
    values = [float(text) for text in arguments.thresholds.split(",") if text]
    others = {f"specreason >= {v:g}": cell("specreason", threshold=v) for v in values if v != own}
    cells = {**ALONE, **AT_ITS_OWN, **others}
    sample = list(islice(problems(SEED, arguments.split), arguments.problems))
    plan = Plan(task(f"pocket-{arguments.split}", sample), list(cells.values()), settings)
    with stored(None) as store:
        study = asyncio.run(measured(plan, store, check=check))
        ours = cells["specreason"].label
        keys = [RunKey(position, ours, 0) for position in range(len(sample))]
        drafts = [
            d for k in keys for d in scored_drafts(str(k.position), sample[k.position], store.events(k))
        ]
    report(by_name(study, cells), drafts, own)


def report(by: Mapping[str, Summary], drafts: Sequence[ScoredStep], threshold: float) -> None:
    speedups = {name: total_s(by["base"]) / total_s(mine) for name, mine in by.items()}
    table(
        ["scheme", "accuracy", "less base, 95% interval", "median s", "speed-up", "accepted"],
        [
            [
                f"{name} >= {threshold:g} (default)" if name in AT_ITS_OWN else name,
                share(mine.accuracy.value),
                points(mine, by["base"]),
                f"{mine.median_s.value:.3f}" if mine.median_s else "-",
                f"{speedups[name]:.2f}",
                share(mine.acceptance),
            ]
            for name, mine in by.items()
        ],
    )
    area = auc(drafts)
    wrong = sum(not draft.right for draft in drafts)
    print(f"\nthe judge, on {len(drafts)} drafts ({wrong} of them wrong): AUC {area and area.value}")
    bins = reliability(drafts, bins=9)
    table(
        ["mean score", "share of right steps", "steps"],
        [[f"{b.score:.2f}", f"{b.right:.1%}", str(b.count)] for b in bins],
    )
    step = regime(by["base"], by["small"], by["specreason"])
    print("\na step of mean length:", ", ".join(f"{name} {s * 1000:.1f} ms" for name, s in step.items()))
    spent = {phase: seconds(by["specreason"], phase) for phase in ("draft", "score", "rewrite")}
    print(f"{max(spent, key=lambda phase: spent[phase])} dominates: {spent}")
    named = [name for name in by if ">" not in name]
    figures = {
        "accuracy": {name: round(by[name].accuracy.value, 4) for name in named},
        "speedup": {name: round(speedups[name], 3) for name in named if name != "base"},
        "acceptance_rate": round(by["specreason"].acceptance or 0, 4),
        "judge_auc": None if area is None else round(area.value, 4),
        "decode_ratio_base_to_small": round(step["write"] / step["draft"], 2),
        "score_to_write_ratio_base": round(step["score"] / step["write"], 3),
        "threshold": threshold,
    }
    print("RESULT", json.dumps(figures))


def regime(base: Summary, small: Summary, ours: Summary) -> dict[str, float]:
    """Seconds to draft, to score and to write a step of mean length, on this machine."""
    length = thinking(base) / sum(len(row.steps) for row in base.runs.rows)
    return {
        "draft": seconds(small, "draft") / thinking(small) * length,
        "score": seconds(ours, "score") / max(1, sum(row.drafts for row in ours.runs.rows)),
        "write": seconds(base, "base") / thinking(base) * length,
    }


def seconds(summary: Summary, phase: str) -> float:
    """Waited for the models in one phase, over all runs."""
    return sum(row.phases.get(phase, 0.0) for row in summary.runs.rows)


def thinking(summary: Summary) -> int:
    """Tokens of all chains, at least 1."""
    return max(1, sum(row.thinking_tokens for row in summary.runs.rows))


if __name__ == "__main__":
    main()
