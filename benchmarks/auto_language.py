"""What `auto` costs where speculation hardly pays: the language pair on word problems, against base alone.

    python -m benchmarks.auto_language --problems 60

Greedy. The two schemes take turns at who goes first, on the same engines. Results go to a file as they come,
and a run that was stopped goes on from there (where `auto` has to learn the costs again).
"""

import argparse
import asyncio
import json
from pathlib import Path

from benchmarks.measuring import add_task, by_name, chosen_task, machine, measured, stored, table, total_s
from specreason import Settings
from specreason.eval.cells import cell
from specreason.eval.plan import Plan
from specreason.eval.study import StudyData
from specreason.models.pair_settings import resolve

# Further drafts and a hedge would share these cores with what they run beside.
SCHEMES = {"base": cell("base"), "auto": cell("specreason", lookahead=4, speculate="auto")}
PHASES = ("draft", "score", "rewrite", "base", "answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_task(parser, 60)
    parser.add_argument("--pair", default="qwen-coder")
    parser.add_argument("--store", type=Path, default=Path(".cache/auto-language.sqlite"))
    arguments = parser.parse_args()
    machine()
    settings = Settings.model_validate(
        {
            "pair": arguments.pair,
            "reasoning": {"token_budget": 1024, "max_step_tokens": 256},
            "sampling": {"temperature": 0, "top_p": 1},
        }
    )
    plan = Plan(chosen_task(arguments), list(SCHEMES.values()), resolve(settings))
    with stored(arguments.store) as store:
        report(asyncio.run(measured(plan, store)))


def report(study: StudyData) -> None:
    by = by_name(study, SCHEMES)
    table(
        ["scheme", "right", "total s", "median s", "drafts", "accepted"],
        [
            [
                name,
                f"{sum(row.right for row in mine.runs.rows)} of {len(mine.runs.rows)}",
                f"{total_s(mine):.0f}",
                f"{mine.median_s.value:.1f}" if mine.median_s else "-",
                f"{sum(row.drafts for row in mine.runs.rows)}",
                f"{sum(row.accepted for row in mine.runs.rows)}",
            ]
            for name, mine in by.items()
        ],
    )
    auto = by["auto"].runs.rows
    print("auto waited (s):", {p: round(sum(row.phases.get(p, 0.0) for row in auto), 1) for p in PHASES})
    ratio = total_s(by["auto"]) / total_s(by["base"])
    print("RESULT", json.dumps({"problems": len(auto), "auto_over_base": round(ratio, 3)}))


if __name__ == "__main__":
    main()
