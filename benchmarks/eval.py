"""A study of many scripted problems: memory, size of the store, report, and two kills on the way.

    make bench-eval            # 10,000 problems, base and specreason

The study runs in a process of its own, which is killed (SIGKILL) after a third and after two thirds of the
runs, and started again. Engines are scripted and answer at once, so all that is measured is ours.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from benchmarks.load import resident_mb
from specreason import Settings
from specreason.cli.eval.report import report
from specreason.config.scheme import Role
from specreason.engines.protocol import Engine
from specreason.engines.scripted import ScriptedEngine
from specreason.eval.cells import cell
from specreason.eval.plan import Plan
from specreason.eval.runner import opened_study
from specreason.eval.store import Store
from specreason.eval.tasks import from_file
from specreason.models.pair_settings import resolve

SMALL = [
    "Each of the 12 boxes holds 7 nuts, so there are 84 nuts in all.\n\n",
    "A quarter of the nuts is given away, which is 19 nuts.\n\n",
    "That leaves 84 - 21 = 63 nuts.\n</think>",
]
BASE = [SMALL[0], "A quarter of 84 is 21, so 21 nuts are given away.\n\n", SMALL[2]]
SETTLED = 500  # runs of a process before its memory is looked at
LONGEST_S = 580.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=10_000)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        asyncio.run(work(arguments.worker))
        return
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(measured(Path(folder), arguments.problems))


def measured(folder: Path, problems: int) -> int:
    lines = (
        json.dumps(
            {
                "id": f"p{n}",
                "problem": f"Shelf {n} has 12 boxes of 7 nuts. A quarter is given away. What is left?",
                "answer": "63.0" if n % 2 else "62",
            }
        )
        for n in range(problems)
    )
    (folder / "problems.jsonl").write_text("\n".join(lines), encoding="utf-8")
    began = time.perf_counter()
    runs = 2 * problems
    growth: list[float] = []
    made = 0
    for end in (runs // 3, 2 * runs // 3, None):
        grown, more = worked(folder, end, LONGEST_S - (time.perf_counter() - began))
        growth += grown
        made += more
        print(f"{done(folder)} of {runs} runs after {time.perf_counter() - began:.0f} s", flush=True)
    before = time.perf_counter()
    report(folder / "study.sqlite", html=None, markdown=None, against="base", traces=20)
    seconds = time.perf_counter() - before
    result = {
        "problems": problems,
        "store_mb": round(sum(f.stat().st_size for f in folder.glob("study.sqlite*")) / 1e6, 1),
        "rss_growth_mb": round(max(growth, default=0.0), 1),
        "report_seconds": round(seconds, 1),
        "resumed_runs": 2,
        "duplicates": max(0, made - done(folder)),
    }
    print(f"{made} runs reported, {done(folder)} kept; {time.perf_counter() - began:.0f} s in all")
    print(f"RESULT {json.dumps(result)}")
    return 0 if done(folder) == runs and not result["duplicates"] else 1


def worked(folder: Path, end: int | None, longest_s: float) -> tuple[list[float], int]:
    """Run a worker, killed at `end` runs: its growth of memory (MB), and how many runs it reported."""
    growth: list[float] = []
    first = 0.0
    made = 0
    command = [sys.executable, "-m", "benchmarks.eval", "--worker", str(folder)]
    until = time.monotonic() + longest_s
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            made += 1
            if made == SETTLED:
                first = resident_mb(worker.pid)
            elif made > SETTLED and made % 1000 == 0:
                growth.append(resident_mb(worker.pid) - first)
            if (end is not None and int(line) >= end) or time.monotonic() > until:
                # The whole group: the grader's process too, as a crash of the machine would.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)
                break
        made += sum(1 for _ in worker.stdout)
    return growth, made


async def work(folder: Path) -> None:
    """The study itself; prints the number of runs after each."""
    task = from_file(folder / "problems.jsonl", 0)
    plan = Plan(task, (cell("base"), cell("specreason")), resolve(Settings()))
    base = ScriptedEngine(
        "base", steps=BASE, answer="So \\boxed{63}.", scores={"is 19 nuts": "2"}, record=False
    )
    small = ScriptedEngine("small", steps=SMALL, answer="So \\boxed{63}.", record=False)
    with Store(folder / "study.sqlite", create=True) as store:
        number = len(store.done())
        engines: dict[Role, Engine] = {"base": base, "small": small}
        async with opened_study(plan, store, engines=engines) as study, aclosing(study.rows()) as rows:
            async for _ in rows:
                number += 1
                print(number, flush=True)


def done(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "study.sqlite")) as store:
        return int(store.execute("select count(*) from runs").fetchone()[0])


if __name__ == "__main__":
    main()
