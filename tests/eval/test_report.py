"""Reports and comparisons of small studies."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue
from studies import THRESHOLD, engines, plan, run, task

from specreason.errors import ConfigError
from specreason.eval.cells import SCHEME, cells_of
from specreason.eval.compare import compared
from specreason.eval.report.figures import front
from specreason.eval.report.make import made
from specreason.eval.report.markdown import markdown
from specreason.eval.report.page import page
from specreason.eval.store import Store
from specreason.eval.study import StudyData, read_study
from specreason.eval.tasks import Problem, Task


def study(path: Path) -> StudyData:
    with Store(path) as store:
        return read_study(store)


def test_a_report_has_every_table_figure_and_trace_and_needs_no_network(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    run(path, plan(samples=2, thresholds=(0, 7), concurrency=(1, 2)))
    with Store(path) as store:
        report = made(store, "base", traces=2)
    titles = [table.title for table in report.tables]
    for title in (
        "Accuracy and latency",
        "Against base 1 at once",
        "Drafts",
        "Tokens by model",
        "Where the time goes",
    ):
        assert title in titles
    drawn = {figure.name for figure in report.figures}
    wanted = {
        "pareto",
        "threshold-accuracy",
        "threshold-latency",
        "problems-at-once-latency",
        "tokens",
        "thinking",
        "signal-judge_score",
    }
    assert wanted <= drawn
    html = page(report)
    for needle in ("<svg", "How it was measured", "prefers-color-scheme: dark", "Base adds to 4.", "p0"):
        assert needle in html
    assert "<script" not in html
    assert not re.search(r'(?:src|href)="(?!#)', html.replace("xlink:", ""))
    text = markdown(report, "s-figures")
    assert "| specreason threshold=7 1 at once |" in text
    assert "![Accuracy against latency](s-figures/pareto.svg)" in text


def test_identical_runs_are_told_to_be_no_different(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(tmp_path / f"{name}.sqlite", plan(task(10), schemes=("base",)))
    told = compared(study(tmp_path / "a.sqlite"), "", study(tmp_path / "b.sqlite"), "")
    assert len(told) == 1
    assert told[0].sentences[0].startswith("No difference in accuracy")
    assert "up to 25.9% of such problems" in told[0].sentences[0]


def test_a_difference_that_is_there_is_told_with_its_interval(tmp_path: Path) -> None:
    # Base says 8 and small says 9: on 55 of 100 problems 8 is right, on 45 it is 9.
    problems = tuple(Problem(f"p{n}", f"Problem {n}?", "8" if n < 55 else "9") for n in range(100))
    path = tmp_path / "s.sqlite"
    run(path, plan(Task("planted", "a test", problems), schemes=("base", "small")))
    there = study(path)
    told = compared(there, "small", there, "base")[0]
    assert told.found.accuracy.value == pytest.approx(0.10)
    assert told.found.accuracy.low <= 0.10 <= told.found.accuracy.high
    assert "can be concluded" in told.sentences[0]  # 55 against 45, all disagreeing: chance would do
    certain = compared(there, "small", there, "small")
    assert certain[0].sentences[0].startswith("No difference")


def test_different_problems_are_not_compared(tmp_path: Path) -> None:
    run(tmp_path / "a.sqlite", plan(task(2), schemes=("base",)))
    run(tmp_path / "b.sqlite", plan(task(2, answer="9"), schemes=("base",)))
    with pytest.raises(ConfigError, match="asked different problems"):
        compared(study(tmp_path / "a.sqlite"), "", study(tmp_path / "b.sqlite"), "")


def test_of_a_task_that_went_on_the_common_part_is_compared(tmp_path: Path) -> None:
    run(tmp_path / "a.sqlite", plan(task(2), schemes=("base",)))
    run(tmp_path / "b.sqlite", plan(task(3), schemes=("base",)))
    told = compared(study(tmp_path / "a.sqlite"), "", study(tmp_path / "b.sqlite"), "")
    assert told[0].problems == 2


def test_emulated_figures_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.sqlite"
    run(path, plan(task(2), schemes=("base", "small")))
    there = study(path)
    assert not any("EMULATION" in line for line in compared(there, "base", there, "small")[0].sentences)
    emulated = replace(there, models={"base": "emulation/QwQ-32B"})
    assert "EMULATION" in compared(emulated, "base", there, "small")[0].sentences[-1]

    def read(_: Store) -> StudyData:
        return emulated

    monkeypatch.setattr("specreason.eval.report.make.read_study", read)
    with Store(path) as store:
        assert made(store, "base", traces=0).headlines[0].startswith("EMULATION")


def test_cells_are_compared_with_the_cell_of_base_that_has_their_settings(tmp_path: Path) -> None:
    varied: dict[str, list[JsonValue]] = {
        SCHEME: ["base", "specreason"],
        "reasoning.token_budget": [100, 8192],
        THRESHOLD: [5, 7],
    }
    run(tmp_path / "s.sqlite", replace(plan(task(2)), cells=cells_of(varied)))
    there = study(tmp_path / "s.sqlite")
    for runs in there.cells:
        if runs.cell.scheme == "specreason":
            reference = there.reference(runs.cell, "base")
            assert reference is not None
            assert reference.cell.value("reasoning.token_budget") == runs.cell.value("reasoning.token_budget")
    assert "reasoning.token_budget" not in there.settings
    told = compared(there, "base token_budget=100", there, "specreason token_budget=8192 threshold=5")[0]
    assert "Their settings differ: reasoning.token_budget 100 and 8192." in told.sentences[-1]
    with Store(tmp_path / "s.sqlite") as store:
        names = {figure.name for figure in made(store, "base", traces=0).figures}
    assert {"token_budget-accuracy", "threshold-latency"} <= names


def test_a_cell_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    run(tmp_path / "a.sqlite", plan(task(2), schemes=("base",)))
    there = study(tmp_path / "a.sqlite")
    with pytest.raises(ConfigError, match="it has 'base'"):
        compared(there, "bse", there, "base")


def test_accuracy_is_also_given_where_the_base_kept_within_its_budget(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    what = plan(task(3), schemes=("base", "specreason"))
    run(path, what, engines())
    with Store(path) as store:
        report = made(store, "base", traces=0)
    table = next(t for t in report.tables if "within its budget" in t.title)
    assert [row[1] for row in table.rows] == ["3", "3"]


def test_the_pareto_front_is_what_nothing_beats_in_both() -> None:
    assert front([(1.0, 0.2), (2.0, 0.5), (3.0, 0.4), (2.0, 0.6), (4.0, 0.6)]) == [0, 3]


def test_cells_that_had_no_turns_together_and_missing_runs_are_told(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    run(path, plan(task(4)))
    run(path, plan(task(4), thresholds=(5.0, 7.0)), stop_after=2)
    with Store(path) as store:
        missing, apart = made(store, "base", traces=0).headlines[:2]
        with pytest.raises(ConfigError, match="it has base, small, specreason"):
            made(store, "bass", traces=0)
    assert (
        missing == "Not finished: of 4 runs of each cell there are still to come: specreason threshold=5 2."
    )
    assert apart.startswith("specreason threshold=5: run in other sessions than base")


def test_a_study_that_has_only_begun_can_be_reported(tmp_path: Path) -> None:
    run(tmp_path / "s.sqlite", plan(), stop_after=1)
    with Store(tmp_path / "s.sqlite") as store:
        html = page(made(store, "base", traces=1))
    assert "nan" not in html.split("</style>")[1]
