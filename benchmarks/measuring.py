"""A plan run to its end, for benchmarks: the study runner with a store that is kept or thrown away."""

import argparse
import platform
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path

from specreason.config.scheme import Role
from specreason.engines.protocol import Engine
from specreason.eval.cells import Cell
from specreason.eval.find_task import find_task
from specreason.eval.plan import Plan
from specreason.eval.runner import Check, opened_study
from specreason.eval.store import Store
from specreason.eval.study import StudyData, read_study
from specreason.eval.summary import Summary, summarised, versus
from specreason.eval.tasks import Task, limited

WORD_PROBLEMS = Path(__file__).with_name("word_problems.jsonl")  # 200, for language models


def add_task(parser: argparse.ArgumentParser, problems: int) -> None:
    """The options that choose problems; `problems`: how many by default."""
    parser.add_argument("--problems", type=int, default=problems)
    parser.add_argument("--skip", type=int, default=0, help="problems to pass over first")
    parser.add_argument("--task", default=str(WORD_PROBLEMS), help="as for specreason eval run")


def chosen_task(arguments: argparse.Namespace) -> Task:
    """What these options choose."""
    return limited(find_task(arguments.task, 0), arguments.problems, arguments.skip)


@contextmanager
def stored(path: Path | None) -> Generator[Store]:
    """The study of `path`, which is gone on with; None: a new one that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with Store(path or Path(folder) / "study.sqlite", create=True) as store:
            yield store


async def measured(
    plan: Plan,
    store: Store,
    *,
    check: Check | None = None,
    engines: Mapping[str, Engine] | Mapping[Role, Engine] | None = None,
) -> StudyData:
    """All runs of the plan, those that the store has among them."""
    done = len(store.done())
    async with (
        opened_study(plan, store, check=check, engines=engines) as study,
        aclosing(study.rows()) as rows,
    ):
        async for row in rows:
            done += 1
            if done % (25 * len(plan.cells)) == 0:
                print(f"{row.position + 1} problems ...", flush=True)
    return read_study(store)


def by_name(study: StudyData, cells: Mapping[str, Cell]) -> dict[str, Summary]:
    """The figures of the named cells."""
    by_label = {summary.runs.cell.label: summary for summary in summarised(study, ())}
    return {name: by_label[cell.label] for name, cell in cells.items() if cell.label in by_label}


def total_s(summary: Summary) -> float:
    """Seconds of all its runs."""
    return sum(row.seconds for row in summary.runs.rows)


def points(summary: Summary, base: Summary | None) -> str:
    """By how much it is more accurate than `base`: the 95% interval."""
    if base is None:
        return "-"
    gain = versus(base.runs, summary.runs).accuracy
    return f"{gain.low:+.1%} to {gain.high:+.1%}"


def share(value: float | None) -> str:
    """A share, as text."""
    return "-" if value is None else f"{value:.1%}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown."""
    print(f"\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def machine() -> None:
    """Print what this runs on."""
    print(f"machine: {processor()}, Python {platform.python_version()}", flush=True)


def processor() -> str:
    """The processors of this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
