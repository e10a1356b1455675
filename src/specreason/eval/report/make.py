"""From a study's file to all that its report shows."""

from collections.abc import Iterator, Sequence

from specreason.eval.compare import Comparison
from specreason.eval.report.figures import figures
from specreason.eval.report.page import Report, Trace, traced_steps
from specreason.eval.report.tables import per_problem, tables
from specreason.eval.rows import Row
from specreason.eval.store import RunKey, Store
from specreason.eval.study import StudyData, read_study
from specreason.eval.summary import summarised, versus

# Compared with wherever it was run: what token-level speculation gains without any of this.
_ALSO_AGAINST = "base+decode"


def made(store: Store, against: str, traces: int) -> Report:
    """The report of a study. `traces`: of so many problems."""
    study = read_study(store)
    summaries = summarised(study, list(dict.fromkeys((against, _ALSO_AGAINST))))
    return Report(
        study=study,
        summaries=summaries,
        headlines=list(_headlines(study, against)),
        tables=list(tables(study, summaries)),
        figures=list(figures(summaries)),
        problems=per_problem(study),
        traces=_traces(store, study, traces),
    )


def _headlines(study: StudyData, against: str) -> Iterator[str]:
    """What can be said of each cell against the reference, in words; at most four of them."""
    told = 0
    for runs in study.cells:
        reference = study.reference(runs.cell, against)
        if reference is None or runs.cell.scheme == "small" or told == 4:
            continue
        both = len(runs.problems & reference.problems)
        if both:
            told += 1
            accuracy, speed, _ = Comparison(reference, runs, both, versus(reference, runs)).sentences
            yield f"{accuracy} {speed}"


def _traces(store: Store, study: StudyData, count: int) -> dict[str, list[Trace]]:
    """Runs of the problems on which the cells differ most, told step by step."""
    first: dict[int, list[tuple[str, Row]]] = {}
    for runs in study.cells:
        for row in runs.rows:
            if row.sample == 0:
                first.setdefault(row.position, []).append((runs.name, row))
    ranked = sorted(
        first, key=lambda position: (-_disagreement([row for _, row in first[position]]), position)
    )
    told: dict[str, list[Trace]] = {}
    for position in sorted(ranked[:count]):
        told[study.problems[position].id] = [
            Trace(
                name,
                row.right,
                row.answer,
                row.reason if row.error is None else f"broke off: {row.error}",
                row.seconds,
                traced_steps(store.events(RunKey(position, row.cell, 0))),
            )
            for name, row in first[position]
        ]
    return told


def _disagreement(rows: Sequence[Row]) -> float:
    right = sum(row.right for row in rows) / len(rows)
    return right * (1 - right)
