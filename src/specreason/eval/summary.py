"""The figures of one cell, and of its difference from the cell that it is compared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from specreason.eval.cells import speculates
from specreason.eval.rows import Row
from specreason.eval.statistics import (
    Estimate,
    difference,
    mean,
    per_problem,
    quantile,
    speedup,
    typical_speedup,
)
from specreason.eval.study import CellRuns, StudyData, paired

_BASE = "base"


@dataclass(frozen=True, slots=True)
class Versus:
    """Against a reference, paired by problem: points of accuracy; times faster."""

    name: str
    accuracy: Estimate
    speedup: Estimate | None
    typical_speedup: Estimate | None


@dataclass(frozen=True, slots=True)
class Summary:
    """One cell. Shares are 0 to 1, None where there is nothing to share.

    `accuracy_in_budget`: over the problems whose base runs kept within their budget. `per_minute`: problems
    solved a minute while the cell ran, under its concurrency. `cached`: prompt tokens that engines had ready.
    """

    runs: CellRuns
    accuracy: Estimate
    accuracy_in_budget: Estimate | None
    median_s: Estimate | None
    p95_s: Estimate | None
    per_minute: float
    versus: Sequence[Versus]
    acceptance: float | None
    unscorable: float | None
    steps_by_small: float | None
    thinking: Estimate | None
    hit_budget: float
    errors: int
    degraded: int
    tokens: Mapping[str, Mapping[str, float]]
    phases: Mapping[str, float]
    cached: float | None


def summarised(study: StudyData, against: Sequence[str]) -> list[Summary]:
    """Every cell, compared with the cells of the schemes `against` that it can be compared with."""
    return [_summary(study, runs, against) for runs in study.cells]


def _summary(study: StudyData, runs: CellRuns, against: Sequence[str]) -> Summary:
    rows, whole = runs.rows, runs.whole
    seconds = per_problem(runs.seconds()) if whole else None
    in_budget = _right_in_budget(study, runs)
    drafts = sum(row.drafts for row in rows)
    steps = [step for row in rows for step in row.steps]
    prompt = _token_sum(rows, "prompt")
    judged = speculates(runs.cell.scheme)
    references = [
        found
        for name in against
        if (found := study.reference(runs.cell, name)) and found.problems & runs.problems
    ]
    return Summary(
        runs=runs,
        accuracy=mean(per_problem(runs.right()), share=True),
        accuracy_in_budget=mean(per_problem(in_budget), share=True) if in_budget else None,
        median_s=None if seconds is None else quantile(seconds, 0.5),
        p95_s=None if seconds is None else quantile(seconds, 0.95),
        per_minute=60 * len(whole) / busy if (busy := _busy_s(whole)) else 0.0,
        versus=[versus(reference, runs) for reference in references],
        acceptance=sum(row.accepted for row in rows) / drafts if drafts and judged else None,
        unscorable=sum(row.unscorable for row in rows) / drafts if drafts and judged else None,
        steps_by_small=_share(sum(step.author == "small" for step in steps), len(steps)),
        thinking=_mean_of(whole, lambda row: float(row.thinking_tokens)),
        hit_budget=sum(row.hit_budget for row in rows) / len(rows),
        errors=sum(row.error is not None for row in rows),
        degraded=sum(row.degraded is not None for row in rows),
        tokens=_tokens(rows),
        phases=_phases(whole),
        cached=_share(_token_sum(rows, "cached"), prompt),
    )


def versus(reference: CellRuns, runs: CellRuns) -> Versus:
    """`runs` against `reference`."""
    a, b = paired(reference.right(), runs.right())
    slow, fast = paired(reference.seconds(), runs.seconds())
    timed = len(slow) > 0
    return Versus(
        reference.name,
        difference(a, b),
        speedup(slow, fast) if timed else None,
        typical_speedup(slow, fast) if timed else None,
    )


def _right_in_budget(study: StudyData, runs: CellRuns) -> Mapping[int, list[float]]:
    """Right or not, over the problems of which no run of the base model alone was cut by its budget."""
    base = runs if runs.cell.scheme == _BASE else study.reference(runs.cell, _BASE)
    if base is None:
        return {}
    return runs.right(base.problems - {row.position for row in base.rows if row.hit_budget})


def _busy_s(rows: Sequence[Row]) -> float:
    """Seconds in which at least one run was under way."""
    busy, until = 0.0, 0.0
    for started, ended in sorted((row.started_at, row.started_at + row.seconds) for row in rows):
        busy += max(0.0, ended - max(started, until))
        until = max(until, ended)
    return busy


def _mean_of(rows: Sequence[Row], value: Callable[[Row], float]) -> Estimate | None:
    found: dict[int, list[float]] = {}
    for row in rows:
        found.setdefault(row.position, []).append(value(row))
    return mean(per_problem(found)) if found else None


def _tokens(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Tokens a run, by role and fate."""
    roles = dict.fromkeys(role for row in rows for role in row.tokens)
    return {
        role: {
            fate: sum(row.tokens.get(role, {}).get(fate, 0) for row in rows) / len(rows)
            for fate in ("generated", "kept", "scored", "discarded")
        }
        for role in roles
    }


def _phases(rows: Sequence[Row]) -> dict[str, float]:
    """Seconds a run, by phase; `own` is what was spent outside the engines."""
    if not rows:
        return {}
    names = dict.fromkeys(phase for row in rows for phase in row.phases)
    waited = {name: sum(row.phases.get(name, 0.0) for row in rows) / len(rows) for name in names}
    total = sum(row.seconds for row in rows) / len(rows)
    return waited | {"own": max(0.0, total - sum(waited.values()))}


def _token_sum(rows: Sequence[Row], fate: str) -> int:
    return sum(tokens.get(fate, 0) for row in rows for tokens in row.tokens.values())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
