"""The recipes of docs/evaluation.md as they stand there, each verdict compared with our own grading."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "evaluation.md"
# The small model alone is right about half of the time, so that both verdicts come up.
MODEL = "specreason-pocket-small"
OURS = """
import json, sys
from specreason.eval.grading import grade
from specreason.reasoning.answers import stated_answer
for line in sys.stdin:
    text, answer = json.loads(line)
    stated = stated_answer(text)
    print(json.dumps(grade("math", stated, answer).right))
"""


def blocks() -> list[str]:
    """The code blocks of the page."""
    return re.findall(r"^```\w*\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def recipe(name: str) -> str:
    """The code block that names this file in its first line."""
    return next(block for block in blocks() if block.startswith(f"# {name}\n"))


def command(program: str) -> str:
    """The code block that runs `program`."""
    return next(block for block in blocks() if f"{program} " in block and "import" not in block)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "problems.jsonl").write_text(Path(os.environ["CLIENTS_PROBLEMS"]).read_text())
    for name in ("sums.py", "tasks/sums.yaml", "tasks/grading.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(recipe(name))
    return tmp_path


def run(work: Path, text: str, more: str) -> None:
    """Run a documented command against our server, with flags that make it keep what it saw."""
    text = text.replace("http://127.0.0.1:8080", os.environ["CLIENTS_URL"])
    text = text.replace("specreason/specreason", f"specreason/{MODEL}").replace(
        "model=specreason,", f"model={MODEL},"
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", f"{text.rstrip()} {more}"],
        cwd=work,
        env={**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def check(verdicts: list[tuple[str, str, bool]]) -> None:
    """Compare (text, right answer, verdict) with our own grading."""
    told = "".join(json.dumps([text, answer]) + "\n" for text, answer, _ in verdicts)
    done = subprocess.run(
        [os.environ["CLIENTS_GRADER"], "-c", OURS], input=told, capture_output=True, text=True, check=True
    )
    ours = [json.loads(line) for line in done.stdout.splitlines()]
    assert [verdict for *_, verdict in verdicts] == ours
    assert len(ours) == 12
    assert 0 < sum(ours) < 12


def test_inspect_scores_as_we_do(work: Path) -> None:
    run(work, command("inspect eval"), "--display plain --log-dir logs --log-format json")
    (log,) = (work / "logs").glob("*.json")
    samples = json.loads(log.read_text())["samples"]
    verdicts: list[tuple[str, str, bool]] = []
    for sample in samples:
        (score,) = sample["scores"].values()
        verdicts.append((sample["output"]["completion"], sample["target"], score["value"] == "C"))
    check(verdicts)


def test_lm_eval_scores_as_we_do(work: Path) -> None:
    run(work, command("lm_eval"), "--log_samples --output_path out")
    (log,) = (work / "out").rglob("samples_*.jsonl")
    samples = [json.loads(line) for line in log.read_text().splitlines()]
    check([(s["resps"][0][0], s["doc"]["answer"], s["correct"] == 1.0) for s in samples])
