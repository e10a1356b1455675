"""Tasks from files and from the hub, whose stand-ins here are a folder, a module and a small web server."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from specreason.errors import ConfigError, InputError
from specreason.eval.find_task import find_task
from specreason.eval.hub import HUB_TASKS, HubTask, TaskUnavailable, from_hub
from specreason.eval.tasks import LETTERS, choice_problem, limited


def file(folder: Path, *rows: object) -> str:
    path = folder / "task.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return str(path)


def test_lines_become_problems_in_their_order(tmp_path: Path) -> None:
    name = file(tmp_path, {"id": "b", "problem": "1+1?", "answer": 2}, "", {"problem": "2+2?", "answer": "4"})
    task = find_task(name, 0)
    assert [(p.id, p.text, p.answer) for p in task.problems] == [("b", "1+1?", "2"), ("3", "2+2?", "4")]
    assert limited(task, 1, skip=1).problems == task.problems[1:]
    assert task.fingerprint != limited(task, 1).fingerprint


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "line 1 is not JSON"),
        ('{"problem": "x", "answer": ' + "1" * 5000 + "}", "line 1 cannot be read: Exceeds the limit"),
        ("[" * 100_000, "line 1 cannot be read: maximum recursion depth"),
        ("[1]", "must be an object"),
        ({"problem": "x"}, "has no 'answer'"),
        ({"problm": "x", "answer": "1"}, "it has problm, answer"),
        ({"problem": "x", "answer": "1", "choices": ["2", "3"]}, "must be one of 'choices'"),
        ({"problem": "x", "answer": "1", "choices": ["1"]}, "2 to 10 can be asked"),
        ({"problem": "x", "answer": ["1", "2"]}, '\'answer\' must be text or a number; it is ["1", "2"]'),
        ({"problem": "x", "answer": {"value": 1}}, "'answer' must be text or a number"),
        ({"problem": "x", "answer": True}, "'answer' must be text or a number"),
        ({"problem": [{"role": "user", "content": "x"}], "answer": "1"}, "'problem' must be text"),
        ({"problem": "x", "answer": "1", "choices": ["1", ["2"]]}, "'choices' must be text or a number"),
        ({"id": ["a"], "problem": "x", "answer": "1"}, "'id' must be text or a number"),
        ('{"problem": "x \\ud83d", "answer": "1"}', "holds half a character"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, row: object, words: str) -> None:
    with pytest.raises(InputError, match="line 1") as told:
        find_task(file(tmp_path, row), 0)
    assert words in str(told.value)
    assert told.value.exit_code == 2


def test_ids_that_are_null_are_missing(tmp_path: Path) -> None:
    rows = [{"id": None, "problem": "x", "answer": n} for n in (1, 2.5)]
    problems = find_task(file(tmp_path, *rows), 0).problems
    assert [(p.id, p.answer) for p in problems] == [("1", "1"), ("2", "2.5")]


def test_any_other_separator_than_a_line_feed_is_part_of_a_text(tmp_path: Path) -> None:
    text = "one\u2028two\u2029three\x85four"
    row = json.dumps({"problem": text, "answer": "1"}, ensure_ascii=False)
    path = tmp_path / "task.jsonl"
    path.write_text(f"{row}\r\n\r\n{row}\n", encoding="utf-8-sig", newline="")
    assert [(p.id, p.text) for p in find_task(str(path), 0).problems] == [("1", text), ("3", text)]


def test_ids_must_differ_and_there_must_be_problems(tmp_path: Path) -> None:
    row = {"id": "a", "problem": "x", "answer": "1"}
    with pytest.raises(InputError, match="twice"):
        find_task(file(tmp_path, row, row), 0)
    with pytest.raises(InputError, match="holds no problem"):
        find_task(file(tmp_path, ""), 0)
    with pytest.raises(ConfigError, match=r"missing\.jsonl"):
        find_task("missing.jsonl", 0)
    with pytest.raises(ConfigError, match="did you mean 'gsm8k'"):
        find_task("gsm8", 0)


def test_choices_are_shuffled_by_seed_and_the_right_one_is_not_always_first() -> None:
    made = [choice_problem(f"q{n}", "Which?", "yes", ["no", "maybe", "never"], 1) for n in range(200)]
    assert made[0] == choice_problem("q0", "Which?", "yes", ["no", "maybe", "never"], 1)
    for problem in made:
        assert f"{problem.answer}) yes" in problem.text
    shares = [sum(p.answer == letter for p in made) / 200 for letter in LETTERS[:4]]
    assert all(0.15 < share < 0.35 for share in shares)


def test_every_hub_task_has_a_pinned_revision() -> None:
    for task in HUB_TASKS.values():
        assert len(task.revision) == 40
        assert int(task.revision, 16)


def test_rows_of_the_datasets_library_become_problems(tmp_path: Path) -> None:
    rows = [
        {"question": "6*7?", "answer": "six sevens\n#### 42"},
        {"question": "1,000+1?", "answer": "#### 1,001"},
    ]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = from_hub("gsm8k", HubTask(str(tmp_path), "main", "test", question="question"), 0)
    assert [(p.id, p.text, p.answer) for p in task.problems] == [
        ("gsm8k-0", "6*7?", "42"),
        ("gsm8k-1", "1,000+1?", "1,001"),
    ]


def test_an_unreachable_hub_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'openai/gsm8k' on the Hub (LocalEntryNotFoundError)")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=unreachable))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(TaskUnavailable, match="could not be reached") as told:
        find_task("gsm8k", 0)
    assert "--task" in str(told.value)
    assert told.value.exit_code == 1


class Gated(BaseHTTPRequestHandler):
    """Answers like the hub does for a set whose terms were not accepted."""

    def do_GET(self) -> None:
        body = b'{"error":"Access to dataset Idavidrein/gpqa is restricted."}'
        self.send_response(401)
        for name, value in (
            ("X-Error-Code", "GatedRepo"),
            ("X-Error-Message", "Access to dataset Idavidrein/gpqa is restricted."),
            ("Content-Length", str(len(body))),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def gated_hub() -> Generator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gated)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_gated_set_explains_how_to_get_access(gated_hub: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": gated_hub, "HF_HOME": str(tmp_path), "NO_COLOR": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    process = subprocess.run(
        [sys.executable, "-m", "specreason.cli.app", "eval", "run", "--task", "gpqa-diamond"],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=500, check=False,
    )  # fmt: skip
    assert process.returncode == 1, process.stderr
    assert "is gated: accept its terms at" in " ".join(process.stderr.split())
    assert "HF_TOKEN" in process.stderr
