"""The work of `specreason eval run`: opens the pair, the store and the grader, and shows how it goes."""

import asyncio
import os
from collections.abc import Generator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from specreason.cli.eval_axes import grid_of
from specreason.cli.eval_display import StudyDisplay
from specreason.config import Settings, load_settings
from specreason.engines.opening import engines_of
from specreason.errors import ConfigError
from specreason.eval.facts import session_facts
from specreason.eval.find_task import find_task
from specreason.eval.grader import Grader
from specreason.eval.grid import AXES, Grid
from specreason.eval.runner import Plan, Study
from specreason.eval.store import Store
from specreason.eval.tasks import Task, limited
from specreason.models.pair_settings import resolve
from specreason.session import SpecReason


def run(
    *,
    task: str,
    axes: Mapping[str, str | None],
    samples: int,
    limit: int | None,
    skip: int,
    seed: int,
    temperature: float | None,
    store: Path | None,
    retry_errors: bool,
    config: Path | None,
    pair: str | None,
) -> None:
    """See `specreason eval run --help`."""
    flags: dict[str, object] = {"pair": pair, "sampling.temperature": temperature}
    settings = resolve(load_settings(config, flags))
    grid = grid_of(axes, config, flags, settings)
    settings = with_room(settings, max(grid.concurrency))
    chosen = limited(find_task(task, seed), limit, skip)
    path = store or Path(f"eval-{chosen.name}.sqlite")
    plan = plan_of(settings, grid, chosen, samples, seed)
    asyncio.run(_run(settings, plan, path, retry_errors=retry_errors))


def plan_of(settings: Settings, grid: Grid, task: Task, samples: int, seed: int) -> Plan:
    """All runs of the grid."""
    if samples > 1 and settings.sampling.temperature == 0:
        raise ConfigError(
            f"--samples {samples} at temperature 0 would run the same thing again; give --temperature 0.6 or "
            "--samples 1"
        )
    return Plan(task, grid.cells(), samples, seed, settings.reasoning, settings.sampling)


def with_room(settings: Settings, at_once: int) -> Settings:
    """The settings with a cache slot for each problem solved at once, where a model is in this process."""
    told: dict[str, object] = {}
    for name, section in (("base", settings.base), ("small", settings.small)):
        if section.url is not None or section.parallel >= at_once:
            continue
        if "parallel" in section.model_fields_set:
            raise ConfigError(
                f"--concurrency {at_once} needs '{name}.parallel' of at least {at_once}; it is "
                f"{section.parallel}"
            )
        told[name] = section.model_copy(update={"parallel": at_once})
    return settings.model_copy(update=told)


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


async def _run(settings: Settings, plan: Plan, path: Path, *, retry_errors: bool) -> None:
    console = Console(stderr=True, highlight=False)
    with alone(path), Store(path, create=True) as store:
        async with SpecReason(settings, roles=engines_of([cell.scheme for cell in plan.cells])) as pair:
            store.settle(
                {
                    "models": {role: engine.model for role, engine in pair.engines.items()},
                    "seed": plan.seed,
                    "sampling": plan.sampling.model_dump(mode="json", exclude={"seed"}),
                    "reasoning": plan.reasoning.model_dump(mode="json", exclude=set(AXES)),
                },
                plan.task,
            )
            store.add_cells(plan.cells, {cell: plan.settings(cell) for cell in plan.cells})
            if retry_errors and (forgotten := store.forget_errors()):
                console.print(f"{forgotten} runs that broke off will run again")
            session = store.begin_session(session_facts(pair))
            display = StudyDisplay(console, plan, store.rows())
            async with Grader() as grader:
                study = Study(plan, pair, store, grader, session)
                with display:
                    async with aclosing(study.rows()) as rows:
                        async for row in rows:
                            display.show(row)
    console.print(f"every run that this command asks for is in {path}; specreason eval report {path}")
