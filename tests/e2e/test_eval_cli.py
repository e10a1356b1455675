"""`specreason eval` as a user meets it: a real process on the pocket pair, killed and gone on with."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
from specreason_lab.problems import problems

pytestmark = pytest.mark.xdist_group("models")
pytest.importorskip("pebble")

COMMAND = [sys.executable, "-m", "specreason.cli.app"]
STUDY = ["eval", "run", "--task", "task.jsonl", "--vary", "scheme=base,specreason", "--store", "s.sqlite"]
CONFIG = """
pair = "pocket"
[reasoning]
token_budget = 120
"""
PROBLEMS = 10  # enough for a kill in the middle
TASK = "\n".join(
    json.dumps({"id": f"p{n}", "problem": made.text, "answer": str(made.answer)})
    for n, made in enumerate(islice(problems(0, "test", (3, 5)), PROBLEMS))
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "specreason.toml").write_text(CONFIG)
    (tmp_path / "task.jsonl").write_text(TASK)
    return tmp_path


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    process = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, cwd=cwd, timeout=400, check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert "Traceback" not in process.stderr
    return process


def runs(folder: Path) -> int:
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(folder / "s.sqlite")) as store,
    ):
        return int(store.execute("select count(*) from runs").fetchone()[0])
    return 0


def test_a_killed_study_goes_on_and_is_reported(folder: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, *STUDY], cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and runs(folder) < 2 and process.poll() is None:
            time.sleep(0.05)
        assert process.poll() is None, "the study ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
    before = runs(folder)
    assert 2 <= before < 2 * PROBLEMS
    process = run(*STUDY, cwd=folder)
    assert process.returncode == 0, process.stderr
    assert f"{before} runs are there already" in process.stderr
    assert runs(folder) == 2 * PROBLEMS
    report = run("eval", "report", "s.sqlite", cwd=folder)
    assert report.returncode == 0, report.stderr
    assert (folder / "s.html").read_text().startswith("<!doctype html>")
    assert "## Accuracy and latency" in (folder / "s.md").read_text()
    compared = run("eval", "compare", "s.sqlite:base", "s.sqlite:specreason", cwd=folder)
    assert f"This holds for problems like these {PROBLEMS}" in compared.stdout
    trace = run("eval", "trace", "s.sqlite", "p1", "--cell", "base", cwd=folder)
    assert trace.stdout.startswith('{"at":0.0,"scheme":"base"')


@pytest.fixture
def steps(folder: Path) -> Path:
    made = islice(problems(3, "test", (3, 5)), 20)
    lines = (json.dumps({"id": str(n), "problem": p.text, "steps": p.steps}) for n, p in enumerate(made))
    (folder / "steps.jsonl").write_text("\n".join(lines))
    return folder


def test_the_judge_is_measured_on_right_and_on_changed_steps(steps: Path) -> None:
    process = run("eval", "score-quality", "steps.jsonl", "--prompts", "inline", "--limit", "80", cwd=steps)
    assert process.returncode == 0, process.stderr
    assert "80 steps of 20 problems, 40 of them right" in process.stdout
    rows = [line.split(" | ") for line in process.stdout.splitlines() if line.startswith("| inline")]
    assert [row[1] for row in rows] == ["greedy", "expected"]
    assert all(float(row[2].split()[0]) > 0.6 for row in rows)  # it was trained to see wrong numbers


def test_a_threshold_is_found_and_written_beside_the_users_own_lines(steps: Path) -> None:
    process = run("calibrate", "steps.jsonl", "--precision", "0.6", "--confidence", "0.8", cwd=steps)
    assert process.returncode == 0, process.stderr
    written = (steps / "specreason.toml").read_text()
    assert f"threshold = {process.stdout.strip()}"[:15] in written
    assert "token_budget = 120" in written
    assert "precision 0.6, sure to" in written


def test_a_wish_that_nothing_carries_changes_nothing_and_names_the_surest(steps: Path) -> None:
    wish = "--precision", "0.999", "--confidence", "0.999", "--limit", "40"
    process = run("calibrate", "steps.jsonl", *wish, cwd=steps)
    assert process.returncode == 2
    assert "the surest, at" in " ".join(process.stderr.split())
    assert (steps / "specreason.toml").read_text() == CONFIG


BAD = [
    (["--task", "gsm9k"], "did you mean 'gsm8k'"),
    (["--task", "task.jsonl", "--vary", "threshold=3,11"], "nearest valid value: 9"),
    (["--task", "task.jsonl", "--vary", "small.model=a,b"], "cannot differ in [small]"),
    (["--task", "task.jsonl", "--set", "budget"], "write KEY=VALUE"),
    (["--task", "task.jsonl", "--concurrency", "0"], "whole numbers from 1"),
    (["--task", "task.jsonl", "--samples", "2", "--set", "temperature=0"], "would run the same thing again"),
    (["--task", "task.jsonl", "--skip", str(PROBLEMS)], "leaves none"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_what_cannot_be_run_is_named_and_exits_with_2(folder: Path, arguments: list[str], words: str) -> None:
    process = run("eval", "run", *arguments, cwd=folder)
    assert process.returncode == 2, process.stderr
    assert words in " ".join(process.stderr.split())


def test_a_report_of_nothing_says_so(folder: Path) -> None:
    process = run("eval", "report", "missing.sqlite", cwd=folder)
    assert process.returncode == 2
    assert "no study at missing.sqlite" in process.stderr


def test_the_command_line_starts_without_the_extra(folder: Path) -> None:
    heavy = "numpy", "altair", "datasets", "math_verify", "specreason.eval"
    code = f"import sys, specreason.cli.app; print([m for m in {heavy!r} if m in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, timeout=60, check=True
    )
    assert process.stdout.strip() == "[]"
