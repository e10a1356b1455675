"""The work of `specreason eval run`: opens the models and the store, and shows how the study goes."""

import asyncio
import os
from collections.abc import Generator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from specreason.cli.eval.axes import cells_from
from specreason.cli.eval.display import StudyDisplay
from specreason.config import load_settings
from specreason.errors import ConfigError
from specreason.eval.cells import Cell
from specreason.eval.find_task import find_task
from specreason.eval.plan import Plan, check_cells, with_room
from specreason.eval.runner import opened_study
from specreason.eval.store import Store
from specreason.eval.tasks import limited
from specreason.models.pair_settings import resolve


def run(
    *,
    task: str,
    vary: Sequence[str] | None,
    set_: Sequence[str] | None,
    concurrency: str,
    samples: int,
    limit: int | None,
    skip: int,
    seed: int,
    store: Path | None,
    retry_errors: bool,
    config: Path | None,
    pair: str | None,
) -> None:
    """See `specreason eval run --help`."""
    cells = cells_from(vary or (), concurrency, config, pair, set_ or ())
    common = resolve(load_settings(config, {"pair": pair}, sets=set_))
    chosen = limited(find_task(task, seed), limit, skip)
    plan = Plan(chosen, cells, common, samples, seed)
    for cell in cells:
        _check_samples(plan, cell)
    check_cells(plan)  # before anything is loaded
    with_room(plan)
    asyncio.run(_run(plan, store or Path(f"eval-{chosen.name}.sqlite"), retry_errors=retry_errors))


def _check_samples(plan: Plan, cell: Cell) -> None:
    if plan.samples > 1 and cell.settings(plan.common).sampling.temperature == 0:
        raise ConfigError(
            f"--samples {plan.samples} at temperature 0 would run the same thing again; give --set "
            "temperature=0.6 or --samples 1"
        )


@contextmanager
def alone(path: Path) -> Generator[None]:
    """Keep other processes from working on the same study. Raises ConfigError if one does already."""
    # Beside the file itself: whoever comes by another link must find the same lock.
    lock = FileLock(f"{os.path.realpath(path)}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"another specreason eval run works on {path}; wait for it, or name another file with --store"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be used as a study: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


async def _run(plan: Plan, path: Path, *, retry_errors: bool) -> None:
    console = Console(stderr=True, highlight=False)
    with alone(path), Store(path, create=True) as store:
        async with opened_study(plan, store) as study:
            if retry_errors and (forgotten := store.forget_errors()):
                console.print(f"{forgotten} runs that broke off will run again")
            with StudyDisplay(console, plan, store.rows()) as display:
                async with aclosing(study.rows()) as rows:
                    async for row in rows:
                        display.show(row)
    console.print(f"every run that this command asks for is in {path}; specreason eval report {path}")
