"""What a study compares: one cell for each scheme, threshold, first n, budget and concurrency."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from specreason.config import ReasoningSettings, Scheme

# The settings of the method in which cells differ.
AXES = ("scheme", "threshold", "first_n_base_steps", "token_budget")


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting of the method. `threshold` and `first_n` are None where the scheme has no drafts to judge.

    `concurrency`: how many problems are solved at once.
    """

    scheme: Scheme
    threshold: float | None
    first_n: int | None
    budget: int
    concurrency: int = 1

    @property
    def label(self) -> str:
        """The cell's name in the store: everything that sets it apart."""
        told = [self.scheme]
        if self.threshold is not None:
            told += [f"threshold={self.threshold:g}", f"first-n={self.first_n}"]
        return " ".join([*told, f"budget={self.budget}", f"at-once={self.concurrency}"])

    def reasoning(self, common: ReasoningSettings) -> ReasoningSettings:
        """The settings of a run in this cell; all else is as in `common`."""
        own: dict[str, Any] = {"scheme": self.scheme, "token_budget": self.budget}
        if self.threshold is not None:
            own |= {"threshold": self.threshold, "first_n_base_steps": self.first_n}
        return common.model_copy(update=own)


@dataclass(frozen=True, slots=True)
class Grid:
    """The axes of a study; `cells` is their product, without what makes no difference."""

    schemes: Sequence[Scheme]
    thresholds: Sequence[float]
    first_n: Sequence[int]
    budgets: Sequence[int]
    concurrency: Sequence[int] = (1,)

    def cells(self) -> tuple[Cell, ...]:
        """Every cell once. Schemes of one model have no threshold, so they run once a budget."""
        return tuple(dict.fromkeys(self._cells()))

    def _cells(self) -> Iterator[Cell]:
        for at_once, budget, scheme in itertools.product(self.concurrency, self.budgets, self.schemes):
            if not judges(scheme):
                yield Cell(scheme, None, None, budget, at_once)
                continue
            for threshold, first_n in itertools.product(self.thresholds, self.first_n):
                yield Cell(scheme, threshold, first_n, budget, at_once)


def judges(scheme: str) -> bool:
    """Whether a scheme has drafts to judge: every one but the single models, decoded plainly or not."""
    return scheme.partition("+")[0] not in {"base", "small"}


def short_labels(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Names that tell only what differs among these cells, for tables and figures."""
    judged = [cell for cell in cells if cell.threshold is not None]
    varies = {
        "t": len({cell.threshold for cell in judged}) > 1,
        "n": len({cell.first_n for cell in judged}) > 1,
        "b": len({cell.budget for cell in cells}) > 1,
        "c": len({cell.concurrency for cell in cells}) > 1,
    }
    labels: dict[Cell, str] = {}
    for cell in cells:
        told: list[str] = [cell.scheme]
        if cell.threshold is not None and varies["t"]:
            told.append(f"≥{cell.threshold:g}")
        if cell.threshold is not None and varies["n"]:
            told.append(f"n={cell.first_n}")
        if varies["b"]:
            told.append(f"budget {cell.budget}")
        if varies["c"]:
            told.append(f"{cell.concurrency} at once")
        labels[cell] = " ".join(told)
    return labels
