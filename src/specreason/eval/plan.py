"""What a study runs: the plan, its waves in an order that treats all cells alike, and the seed of each run.

A wave is one cell on one block of problems. Within a block every cell has its turn, and who starts changes
from block to block, so that a machine that drifts or slows down hits all alike. One problem makes a block if
nothing runs at once; else a block is large enough to keep the engines busy, and a wave loads them with one
cell only, since the latency of a cell under load must not depend on what another one does.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from specreason.config import ReasoningSettings, Settings
from specreason.engines.kinds import in_process
from specreason.errors import ConfigError
from specreason.eval.cells import Cell, flat, studied
from specreason.eval.rows import compact
from specreason.eval.store import RunKey
from specreason.eval.tasks import Problem, Task
from specreason.preparation import check_combination, policy_named
from specreason.reasoning.planning.possible import plan_of

# Waves of this many rounds keep most of a wave at its full concurrency.
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: every problem in every cell, `samples` times.

    `common`: the settings, with what their pair says (`resolve`), of all that cells leave out.
    """

    task: Task
    cells: Sequence[Cell]
    common: Settings
    samples: int = 1
    seed: int = 0

    @property
    def runs(self) -> int:
        """How many runs there are in all."""
        return len(self.task.problems) * len(self.cells) * self.samples

    def kept(self, cell: Cell) -> str:
        """The settings of the cell's runs, as they are kept in the store."""
        return compact(studied(cell.settings(self.common)))

    def facts(self) -> dict[str, Any]:
        """What may not change while cells are added: the seed, and the settings that no cell sets."""
        own = {key for cell in self.cells for key, _ in cell.overrides}
        common = {key: value for key, value in flat(studied(self.common)).items() if key not in own}
        return {"seed": self.seed, "settings": common}


@dataclass(frozen=True, slots=True)
class Wave:
    """Runs of one cell that are made together."""

    cell: Cell
    runs: tuple[RunKey, ...]


def blocks(plan: Plan, done: set[RunKey]) -> Iterator[list[Wave]]:
    """The waves that are left, block by block, in turning order."""
    most = max(cell.concurrency for cell in plan.cells)
    size = 1 if most == 1 else most * _ROUNDS
    number = 0
    for sample in range(plan.samples):
        for start in range(0, len(plan.task.problems), size):
            positions = range(start, min(start + size, len(plan.task.problems)))
            turned = [plan.cells[(number + k) % len(plan.cells)] for k in range(len(plan.cells))]
            number += 1
            waves = [
                Wave(
                    cell, tuple(key for p in positions if (key := RunKey(p, cell.label, sample)) not in done)
                )
                for cell in turned
            ]
            if left := [wave for wave in waves if wave.runs]:
                yield left


def seed_of(plan: Plan, cell: Cell, problem: Problem, sample: int) -> int:
    """The seed of a run, another for each cell too.

    With the same one, two thresholds would draft the same steps, and whichever came second would find them
    in the base model's cache.
    """
    return zlib.crc32(f"{plan.seed} {cell.label} {problem.id} {sample}".encode())


def check_cells(plan: Plan) -> None:
    """Raise ConfigError for a cell whose policy does not go with its other settings."""
    for cell in plan.cells:
        settings = cell.settings(plan.common)
        try:
            check_combination(
                policy_named(settings.reasoning.scheme.policy), settings.reasoning, settings.models
            )
        except ConfigError as error:
            raise ConfigError(f"cell '{cell.label}': {error}") from None


def with_room(plan: Plan) -> Settings:
    """The settings with which the models of a plan are opened, for all of its cells alike.

    A model in this process gets a cache slot for each place at which any cell lets it work at the same time.
    Raises ConfigError where the settings say that it has fewer.
    """
    at_once = max(cell.concurrency for cell in plan.cells)
    methods = [cell.settings(plan.common).reasoning for cell in plan.cells]
    changed: dict[str, Any] = {"reasoning": ReasoningSettings()}
    for name, section in (("base", plan.common.base), ("small", plan.common.small)):
        if not in_process(name, section):
            continue
        if section.parallel < at_once and "parallel" in section.model_fields_set:
            raise ConfigError(
                f"--concurrency {at_once} needs '{name}.parallel' of at least {at_once}; it is "
                f"{section.parallel}"
            )
        slots = max(section.parallel, at_once) * max(_places(name, method) for method in methods)
        changed[name] = section.model_copy(update={"parallel": slots})
    return plan.common.model_copy(update=changed)


def _places(role: str, method: ReasoningSettings) -> int:
    """At how many places of one conversation a model in this process works at the same time."""
    plan = plan_of(method, in_process=True)
    if not method.scheme.speculates:
        return 1
    return plan.lanes if role == "small" else 1 + plan.repair.beside
