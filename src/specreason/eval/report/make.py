"""From a study's file to all that its report shows."""

from collections.abc import Iterator, Sequence

from specreason.errors import ConfigError
from specreason.eval.compare import EMULATED, Comparison
from specreason.eval.report.figures import figures
from specreason.eval.report.page import Report, Trace, traced_steps
from specreason.eval.report.tables import per_problem, tables
from specreason.eval.rows import Row
from specreason.eval.store import RunKey, Store
from specreason.eval.study import StudyData, read_study
from specreason.eval.summary import summarised, versus

# Compared with wherever it was run: what token-level speculation gains without any of this.
_ALSO_AGAINST = "base+decode"
_HEADLINES = 6


def made(store: Store, against: str, traces: int) -> Report:
    """The report of a study. `traces`: of so many problems."""
    study = read_study(store)
    if against not in (known := list(dict.fromkeys(runs.cell.scheme for runs in study.cells))):
        raise ConfigError(
            f"--against is '{against}', which {study.path} did not run; it has {', '.join(known)}"
        )
    summaries = summarised(study, list(dict.fromkeys((against, _ALSO_AGAINST))))
    return Report(
        study=study,
        summaries=summaries,
        headlines=[*_warnings(study, against), *_headlines(study, against)],
        tables=list(tables(study, summaries)),
        figures=list(figures(summaries)),
        problems=per_problem(study),
        traces=_traces(store, study, traces),
    )


def _warnings(study: StudyData, against: str) -> Iterator[str]:
    """What to know before the figures: emulation, runs that are missing, cells that had no turns together."""
    if study.emulated:
        yield EMULATED
    most = max(len(runs.rows) for runs in study.cells)
    missing = {runs.name: most - len(runs.rows) for runs in study.cells if len(runs.rows) < most}
    if missing:
        names = ", ".join(f"{name} {count}" for name, count in missing.items())
        yield f"Not finished: of {most} runs of each cell there are still to come: {names}."
    apart = [
        runs.name
        for runs in study.cells
        if (reference := study.reference(runs.cell, against)) is not None
        and not {row.session for row in runs.rows} & {row.session for row in reference.rows}
    ]
    if apart:
        yield (
            f"{', '.join(apart)}: run in other sessions than {against}, so they did not take turns with it. "
            "Their speed-ups also show how busy the machine was."
        )


def _headlines(study: StudyData, against: str) -> Iterator[str]:
    """What can be said of each cell against the reference, in words; at most `_HEADLINES` of them."""
    compared = [
        (runs, reference, both)
        for runs in study.cells
        if (reference := study.reference(runs.cell, against)) is not None
        and (both := len(runs.problems & reference.problems))
    ]
    for runs, reference, both in compared[:_HEADLINES]:
        accuracy, speed, _ = Comparison(reference, runs, both, versus(reference, runs)).sentences
        yield f"{accuracy} {speed}"
    if (left := len(compared) - _HEADLINES) > 0:
        yield f"{left} more cells: see the table Against {against}."


def _traces(store: Store, study: StudyData, count: int) -> dict[str, list[Trace]]:
    """Runs of the problems on which the cells differ most, step by step."""
    first: dict[int, list[tuple[str, Row]]] = {}
    for runs in study.cells:
        for row in runs.rows:
            if row.sample == 0:
                first.setdefault(row.position, []).append((runs.name, row))
    ranked = sorted(
        first, key=lambda position: (-_disagreement([row for _, row in first[position]]), position)
    )
    traces: dict[str, list[Trace]] = {}
    for position in sorted(ranked[:count]):
        traces[study.problems[position].id] = [
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
    return traces


def _disagreement(rows: Sequence[Row]) -> float:
    right = sum(row.right for row in rows) / len(rows)
    return right * (1 - right)
