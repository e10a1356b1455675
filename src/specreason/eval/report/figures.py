"""The figures of a report: what the paper shows, for the user's own pair."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from pydantic import JsonValue

from specreason.eval.cells import Cell, short_name, speculates, varying
from specreason.eval.report.charts import Figure, chart, colour, drawn, layered, quantity, shape
from specreason.eval.rows import Row
from specreason.eval.statistics import Estimate
from specreason.eval.summary import Summary

_PERCENT = ".0%"
_TENTHS = 10
_ALL_NAMED = 8
_BINS = 20


def figures(summaries: Sequence[Summary]) -> Iterator[Figure]:
    """Every figure that the study has data for."""
    if timed := [s for s in summaries if s.median_s]:
        yield _pareto(timed)
    yield from _sweeps(summaries)
    yield _tokens(summaries)
    yield _thinking(summaries)
    judged = [s for s in summaries if speculates(s.runs.cell.scheme)]
    if judged:
        # One cell stands for the rest: the first one, unless it is a sweep's edge.
        yield from _chain(judged[len(judged) // 2])


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which (seconds, accuracy) points no other point beats in both, fastest first."""
    best, found = -1.0, list[int]()
    for number in sorted(range(len(points)), key=lambda n: (points[n][0], -points[n][1])):
        if points[number][1] > best:
            best = points[number][1]
            found.append(number)
    return found


def _pareto(summaries: Sequence[Summary]) -> Figure:
    rows: list[dict[str, Any]] = [
        _spread("accuracy", s.accuracy)
        | _spread("seconds", s.median_s)
        | {"name": s.runs.name, "scheme": s.runs.cell.scheme}
        for s in summaries
    ]
    schemes = list(dict.fromkeys(row["scheme"] for row in rows))
    best = [rows[n] for n in front([(row["seconds"], row["accuracy"]) for row in rows])]
    # Where there are many, only these have room for their names: the front, and schemes of one cell.
    alone = [row for row in rows if [other["scheme"] for other in rows].count(row["scheme"]) == 1]
    named = rows if len(rows) <= _ALL_NAMED else [row for row in rows if row in best or row in alone]
    beside = sorted(named, key=lambda row: row["seconds"])
    x = quantity("x", "seconds", "median seconds a problem", zero=True)
    y = quantity("y", "accuracy", "pass@1", axis={"format": _PERCENT})
    upper = {"x": x, "y": quantity("y", "accuracy_low", "pass@1"), "y2": "accuracy_high"}
    across = {
        "x": quantity("x", "seconds_low", "median seconds a problem", zero=True),
        "x2": "seconds_high",
        "y": y,
    }
    drawing = layered(
        chart(best)
        .mark_line(color="var(--faint)", strokeDash=[4, 3], interpolate="step-after")
        .encode(x=x, y=y),
        chart(rows).mark_rule().encode(**upper, color=colour("scheme", schemes)),
        chart(rows).mark_rule().encode(**across, color=colour("scheme", schemes)),
        chart(rows)
        .mark_point(filled=True, size=90, opacity=1)
        .encode(x=x, y=y, color=colour("scheme", schemes), shape=shape("scheme", schemes)),
        # Neighbours have their names above and below in turn, so that these do not meet.
        chart(beside[::2]).mark_text(align="left", dx=7, dy=-9).encode(x=x, y=y, text="name:N"),
        chart(beside[1::2]).mark_text(align="left", dx=7, dy=11).encode(x=x, y=y, text="name:N"),
    )
    text = (
        "Up and to the left is better. Dashed: the Pareto front, settings that no other one beats in both. "
        "Bars: 95% intervals. Of many points only the front's and those of single cells are named."
    )
    return drawn("pareto", "Accuracy against latency", text, drawing, height=340)


def _sweeps(summaries: Sequence[Summary]) -> Iterator[Figure]:
    """Over each key with several numbers, and over concurrency: how accuracy and latency go with it."""
    cells = [s.runs.cell for s in summaries]
    keys, loads = varying(cells), len({cell.concurrency for cell in cells}) > 1
    axes: list[tuple[str, Callable[[Cell], JsonValue]]] = [
        (key, partial(Cell.value, key=key)) for key in keys
    ]
    if loads:
        axes.append(("problems at once", lambda cell: cell.concurrency))
    for title, value in axes:
        others = [key for key in keys if key != title]
        rows = [
            {"x": x, "series": short_name(s.runs.cell, others, loads=loads and title in keys)}
            | _spread("accuracy", s.accuracy)
            | _spread("seconds", s.median_s)
            for s in summaries
            if isinstance(x := value(s.runs.cell), int | float) and not isinstance(x, bool)
        ]
        if len({row["x"] for row in rows}) < 2:
            continue
        name = title.rpartition(".")[2].replace(" ", "-")
        yield _sweep(
            f"{name}-accuracy", f"Accuracy by {title}", rows, title, ("accuracy", "pass@1", _PERCENT)
        )
        timed = [row for row in rows if "seconds" in row]
        yield _sweep(
            f"{name}-latency", f"Latency by {title}", timed, title, ("seconds", "median seconds", "~g")
        )


def _sweep(
    name: str, title: str, rows: Sequence[dict[str, Any]], x_title: str, shown: tuple[str, str, str]
) -> Figure:
    field, y_title, form = shown
    series = list(dict.fromkeys(row["series"] for row in rows))
    x = quantity("x", "x", x_title, axis={"values": sorted({row["x"] for row in rows}), "format": "~g"})
    y = quantity("y", field, y_title, axis={"format": form})
    bars = chart(rows).mark_rule().encode(
        x=x, y=quantity("y", f"{field}_low", y_title), y2=f"{field}_high", color=colour("series", series)
    )  # fmt: skip
    line = chart(rows).mark_line().encode(x=x, y=y, color=colour("series", series))
    dots = (
        chart(rows)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(x=x, y=y, color=colour("series", series), shape=shape("series", series))
    )
    return drawn(name, title, "Bars: 95% intervals, over problems.", layered(bars, line, dots), height=240)


def _tokens(summaries: Sequence[Summary]) -> Figure:
    rows = [
        {"name": s.runs.name, "part": f"{role}, {fate}", "tokens": fates[fate]}
        for s in summaries
        for role, fates in s.tokens.items()
        for fate in ("kept", "scored", "discarded")
    ]
    parts = [f"{role}, {fate}" for role in ("base", "small") for fate in ("kept", "scored", "discarded")]
    bars = chart(rows).mark_bar(stroke="var(--page)").encode(
        x=quantity("x", "tokens", "tokens a run, on average", zero=True), y=_names(summaries),
        color=colour("part", parts, (1, 3, 6, 2, 4, 5)), order={"field": "part"},
    )  # fmt: skip
    return drawn(
        "tokens",
        "Tokens by model",
        "Kept, written to measure signals, and discarded.",
        bars,
        height=_bars(summaries),
    )


def _thinking(summaries: Sequence[Summary]) -> Figure:
    rows: list[dict[str, Any]] = []
    for s in summaries:
        lengths = sorted(row.thinking_tokens for row in s.runs.whole)
        if lengths:
            low, quarter, middle, three, high = (
                lengths[int(q * (len(lengths) - 1))] for q in (0.05, 0.25, 0.5, 0.75, 0.95)
            )
            rows.append(
                {"name": s.runs.name, "low": low, "q1": quarter, "mid": middle, "q3": three, "high": high}
            )
    title = "thinking tokens"
    y = _names(summaries)
    drawing = layered(
        chart(rows)
        .mark_rule(color="var(--c1)")
        .encode(x=quantity("x", "low", title, zero=True), x2="high", y=y),
        chart(rows)
        .mark_bar(color="var(--c1)", size=12)
        .encode(x=quantity("x", "q1", title, zero=True), x2="q3", y=y),
        chart(rows)
        .mark_tick(color="var(--ink)", thickness=3, size=18)
        .encode(x=quantity("x", "mid", title, zero=True), y=y),
    )
    text = "Mark: median run; bar: the middle half; line: from the 5th to the 95th of 100."
    return drawn("thinking", "Thinking length", text, drawing, height=_bars(summaries))


def _chain(s: Summary) -> Iterator[Figure]:
    """How one judged cell went: signals by verdict, authors and acceptance over the course of a problem."""
    name = s.runs.name
    steps = [step for row in s.runs.rows for step in row.steps if step.outcome != "unjudged"]
    for signal in dict.fromkeys(name for step in steps for name in step.signals):
        values = [(v, step.outcome) for step in steps if (v := step.signals.get(signal)) is not None]
        if values:
            yield _signal(signal, name, values)
    course = _course(s.runs.rows)
    if course:
        parts = ["small, accepted", "base, after a rejection", "base, unasked"]
        bars = chart(course).mark_bar(size=36, stroke="var(--page)").encode(
            x=quantity("x", "at", "share of the chain", domain=[0, 1], axis={"format": _PERCENT}),
            y=quantity("y", "share", "share of steps", zero=True, axis={"format": _PERCENT}),
            color=colour("part", parts, (2, 1, 6)), order={"field": "part", "sort": "descending"},
        )  # fmt: skip
        text = (
            "Who wrote the kept steps, from the start of the chains to their ends; drafts rejected there too."
        )
        yield drawn("course", f"Authors over the course of a problem: {name}", text, bars, height=220)


def _signal(signal: str, name: str, values: Sequence[tuple[float, str]]) -> Figure:
    """How often each value of a signal was measured, by what became of the draft."""
    low, high = min(value for value, _ in values), max(value for value, _ in values)
    width = 1.0 if 2 < high - low <= _BINS else (high - low) / _BINS or 1.0
    counts: dict[tuple[float, str], int] = {}
    for value, verdict in values:
        at = round(value / width) * width
        counts[at, verdict] = counts.get((at, verdict), 0) + 1
    rows = [{"value": at, "verdict": verdict, "drafts": n} for (at, verdict), n in sorted(counts.items())]
    bars = chart(rows).mark_bar(size=20, stroke="var(--page)").encode(
        x=quantity("x", "value", signal, domain=[low - width / 2, high + width / 2]),
        y=quantity("y", "drafts", "drafts", zero=True), color=colour("verdict", ["accepted", "rejected"]),
    )  # fmt: skip
    return drawn(f"signal-{signal}", f"{signal} by verdict: {name}", "Of judged drafts.", bars, height=220)


def _course(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each tenth of the chains, the share of steps by what became of them."""
    counts: dict[tuple[int, str], int] = {}
    for row in rows:
        for index, step in enumerate(row.steps):
            tenth = min(_TENTHS - 1, index * _TENTHS // len(row.steps))
            part = {"accepted": "small, accepted", "rejected": "base, after a rejection"}.get(
                step.outcome, "base, unasked"
            )
            counts[tenth, part] = counts.get((tenth, part), 0) + 1
    totals = [sum(n for (tenth, _), n in counts.items() if tenth == t) for t in range(_TENTHS)]
    return [
        {"at": (tenth + 0.5) / _TENTHS, "part": part, "share": n / totals[tenth]}
        for (tenth, part), n in sorted(counts.items())
    ]


def _names(summaries: Sequence[Summary]) -> Any:
    return {
        "field": "name",
        "type": "nominal",
        "title": None,
        "sort": [s.runs.name for s in summaries],
        "axis": {"labelLimit": 260},
    }


def _bars(summaries: Sequence[Summary]) -> int:
    return 40 + 30 * len(summaries)


def _spread(name: str, estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {}
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
