"""The tables of a report, as text: the page and the Markdown show the same ones."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from specreason.eval.cells import speculates
from specreason.eval.statistics import Estimate
from specreason.eval.study import StudyData
from specreason.eval.summary import Summary, Versus


@dataclass(frozen=True, slots=True)
class Table:
    """A table with what its columns mean."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(study: StudyData, summaries: Sequence[Summary]) -> Iterator[Table]:
    """All tables of figures, the main one first."""
    yield _main(summaries)
    yield from _versus(summaries)
    yield _in_budget(summaries)
    if any(speculates(s.runs.cell.scheme) for s in summaries):
        yield _drafts(summaries)
    yield _tokens(summaries)
    yield _time(study, summaries)


def per_problem(study: StudyData) -> Table:
    """Every problem under every cell: right answers of samples, and mean seconds."""
    head = ["problem", "expected", *(runs.name for runs in study.cells)]
    lines: dict[int, list[str]] = {}
    for column, runs in enumerate(study.cells):
        right, seconds = runs.right(), runs.seconds()
        broken = {row.position for row in runs.rows if row.error is not None}
        for position, values in right.items():
            cells = lines.setdefault(position, ["-"] * len(study.cells))
            share = "✓" if min(values) == 1 else "✗" if max(values) == 0 else f"{sum(values):g}/{len(values)}"
            took = seconds.get(position)
            time = f" {sum(took) / len(took):.1f} s" if took else ""
            cells[column] = f"{share}{time}{' (broke off)' if position in broken else ''}"
    rows = [[study.problems[n].id, study.problems[n].answer, *cells] for n, cells in sorted(lines.items())]
    note = "✓ all samples right, ✗ none; mean seconds. Every event of a run: specreason eval trace."
    return Table("Problem by problem", note, head, rows)


def _main(summaries: Sequence[Summary]) -> Table:
    rows = [
        [
            s.runs.name,
            f"{len(s.runs.problems)}",
            f"{len(s.runs.rows)}",
            percent(s.accuracy),
            number(s.median_s),
            number(s.p95_s),
            f"{s.per_minute:.1f}",
            f"{s.thinking.value:.0f}" if s.thinking else "-",
            f"{s.hit_budget:.0%}",
            f"{s.errors}",
        ]
        for s in summaries
    ]
    note = (
        "pass@1: mean over samples, then over problems. Intervals: 95%, bootstrap over problems. Seconds are "
        "wall time from the question to the last token, over runs that ended. Runs that broke off "
        "count as wrong."
    )
    head = [
        "scheme", "problems", "runs", "pass@1", "median s", "p95 s", "problems a minute", "thinking tokens",
        "cut by budget", "broke off",
    ]  # fmt: skip
    return Table("Accuracy and latency", note, head, rows)


def _versus(summaries: Sequence[Summary]) -> Iterator[Table]:
    compared: dict[str, list[tuple[Summary, Versus]]] = {}
    for s in summaries:
        for v in s.versus:
            compared.setdefault(v.name, []).append((s, v))
    for name, pairs in compared.items():
        rows = [
            [s.runs.name, points(v.accuracy), times(v.speedup), times(v.typical_speedup)] for s, v in pairs
        ]
        note = (
            "Paired by problem, under the same settings and load. Total: seconds of all problems together. "
            "Typical: geometric mean of the problems' own ratios, where a long problem counts as much as a "
            "short one."
        )
        head = ["scheme", "accuracy, points", "speed-up, total", "speed-up, typical"]
        yield Table(f"Against {name}", note, head, rows)


def _in_budget(summaries: Sequence[Summary]) -> Table:
    rows = [
        [s.runs.name, f"{e.count if (e := s.accuracy_in_budget) else 0}", percent(s.accuracy_in_budget)]
        for s in summaries
    ]
    note = (
        "Part of a gain in accuracy can come from the base model running into its budget. Here are only the "
        "problems on which no base run was cut."
    )
    return Table(
        "Accuracy where the base model kept within its budget", note, ["scheme", "problems", "pass@1"], rows
    )


def _drafts(summaries: Sequence[Summary]) -> Table:
    rows = [
        [s.runs.name, share(s.acceptance), _reasons(s), share(s.steps_by_small), f"{s.degraded}"]
        for s in summaries
        if speculates(s.runs.cell.scheme)
    ]
    note = (
        "Rejected because: drafts by the reason of the policy (unscorable: the judge's reply was no digit). "
        "Without drafter: ended by the base model alone."
    )
    head = ["scheme", "drafts accepted", "rejected because", "steps by the small model", "without drafter"]
    return Table("Drafts", note, head, rows)


def _reasons(s: Summary) -> str:
    """Why drafts were rejected, and how often, the most frequent first."""
    counts = Counter(step.reason for row in s.runs.rows for step in row.steps if step.reason)
    return ", ".join(f"{reason} {count}" for reason, count in counts.most_common()) or "-"


def _tokens(summaries: Sequence[Summary]) -> Table:
    rows = [
        [s.runs.name, role, *(f"{fates[fate]:.0f}" for fate in ("generated", "kept", "scored", "discarded")),
         share(s.cached)]
        for s in summaries
        for role, fates in s.tokens.items()
    ]  # fmt: skip
    note = (
        "A run, on average. Scored: written to measure signals. Discarded: rejected drafts, and what was "
        "written beyond a boundary. Prompt "
        "cached: over both models, by the engines' own count; schemes should find their first prompt alike."
    )
    head = ["scheme", "model", "generated", "kept", "scored", "discarded", "prompt cached"]
    return Table("Tokens by model", note, head, rows)


def _time(study: StudyData, summaries: Sequence[Summary]) -> Table:
    names = list(dict.fromkeys(name for s in summaries for name in s.phases))
    rows = [
        [s.runs.name, *(f"{s.phases[name]:.3f}" if name in s.phases else "-" for name in names)]
        for s in summaries
    ]
    read = ", ".join(f"{role} {sorted(s)[len(s) // 2]:.2f} s" for role, s in study.readings.items() if s)
    note = "Seconds a run, on average, spent waiting for engines; own: everything else."
    if read:
        note += f" Not in any of them: the first reading of a problem, before measured runs (median {read})."
    return Table("Where the time goes", note, ["scheme", *names], rows)


def percent(estimate: Estimate | None) -> str:
    """A share with its interval."""
    if estimate is None:
        return "-"
    return f"{estimate.value:.1%} ({estimate.low * 100:.1f} to {estimate.high * 100:.1f})"


def points(estimate: Estimate) -> str:
    """A difference of shares, in points."""
    return f"{estimate.value * 100:+.1f} ({estimate.low * 100:+.1f} to {estimate.high * 100:+.1f})"


def times(estimate: Estimate | None) -> str:
    """A ratio with its interval."""
    return "-" if estimate is None else f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def number(estimate: Estimate | None) -> str:
    """A quantity with its interval."""
    if estimate is None:
        return "-"
    digits = 3 if estimate.value < 1 else 1
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


def share(value: float | None) -> str:
    """A share without an interval."""
    return "-" if value is None else f"{value:.1%}"
