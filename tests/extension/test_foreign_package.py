"""Another package brings policies, a signal, a schedule and a repair; nothing in src knows of them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from specreason_lab.problems import problems

PACKAGE = Path(__file__).with_name("package")
PROBLEMS = [next(problems(seed, "test")) for seed in range(3)]
SURE = ("--scheme", "self_sure")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the package is installed, as pip does it."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    copied = tmp_path_factory.mktemp("source") / "package"
    subprocess.run(["cp", "-r", str(PACKAGE), str(copied)], check=True)  # building leaves no trace here
    subprocess.run([*pip, "--no-index", "--target", str(target), str(copied)], check=True)
    return {**os.environ, "PYTHONPATH": str(target), "COLUMNS": "200"}


def specreason(environment: dict[str, str], *arguments: str, cwd: Path | None = None) -> str:
    command = [sys.executable, "-m", "specreason.cli.app", *arguments]
    ran = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def refused(environment: Mapping[str, str] | None, *arguments: str) -> str:
    """What the command says on one line when it refuses."""
    command = [sys.executable, "-m", "specreason.cli.app", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 2, ran.stdout
    return " ".join(ran.stderr.split())


def solve(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    fixed = ("solve", PROBLEMS[0].text, "--pair", "pocket", "--seed", "1", "--json")
    return json.loads(specreason(environment, *fixed, *arguments))


def test_without_the_package_nothing_knows_of_it() -> None:
    assert "setting 'reasoning.scheme' from --scheme is 'self_sure'" in refused(None, "solve", "x", *SURE)


def test_its_knob_is_documented_and_checked(environment: dict[str, str]) -> None:
    explained = specreason(environment, "config", "--explain")
    assert "policy.self_sure.least = 0.5  (float, ≥ 0 and ≤ 1)" in explained
    assert "SPECREASON_POLICY__SELF_SURE__LEAST" in explained
    message = refused(environment, "solve", "x", "--set", "policy.self_sure.least=2")
    assert "setting 'policy.self_sure.least' from --set is 2" in message


def test_solve_takes_the_policy_and_its_knob_and_the_trace_has_both(
    environment: dict[str, str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    strict = solve(environment, *SURE, "--set", "policy.self_sure.least=1", "--trace", str(trace))
    assert (strict["accepted"], strict["rejections"]) == (0, {"doubt": strict["drafts"]})
    lenient = solve(environment, *SURE, "--set", "policy.self_sure.least=0")
    assert lenient["accepted"] == lenient["drafts"] > 0

    events = [json.loads(line) for line in trace.read_text().splitlines()]
    assert events[0]["settings"]["policy"] == {"self_sure": {"least": 1.0}}
    measured = [event for event in events if event["event"] == "signal_measured"]
    assert {event["name"] for event in measured} == {"self_trust"}
    assert len(measured) == strict["drafts"]
    calls = [event for event in events if event.get("signal") == "self_trust"]
    assert [call["role"] for call in calls] == ["small"] * strict["drafts"]
    small = strict["tokens"]["small"]
    assert small["scored"] == sum(call["generated_tokens"] for call in calls) > 0
    assert small["generated"] == small["kept"] + small["scored"] + small["discarded"]
    assert all("self_trust" in step["signals"] for step in strict["steps"] if step["outcome"] == "rejected")


def test_its_schedule_and_its_repair_work_with_the_paper_s_rule(environment: dict[str, str]) -> None:
    plain = solve(environment, "--set", "threshold=9", "--set", "temperature=0")
    ahead = solve(
        environment, "--set", "threshold=9", "--set", "temperature=0", "--set", "schedule=one_ahead"
    )
    assert [step["text"] for step in ahead["steps"]] == [step["text"] for step in plain["steps"]]
    repaired = solve(environment, "--set", "threshold=9", "--set", "on_reject=first_line")
    kept = [step for step in repaired["steps"] if step["origin"] == "kept_prefix"]
    assert kept
    assert all(step["small_tokens"] > 0 for step in kept)


def test_what_does_not_go_together_is_refused_with_the_reason(environment: dict[str, str]) -> None:
    arguments = ("solve", "x", "--pair", "pocket", "--scheme", "lookahead_reasoning")
    message = refused(environment, *arguments, "--set", "on_reject=hedge")
    assert "'reasoning.on_reject' is 'hedge', which does not go with policy 'lookahead_reasoning'" in message


def test_a_cell_that_cannot_be_is_refused_before_a_model_is_loaded(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "t.jsonl").write_text('{"id": "1", "problem": "x", "answer": "1"}')
    vary = ("--vary", "scheme=lookahead_reasoning,specreason", "--vary", "on_reject=rewrite,keep_prefix")
    store = tmp_path / "s.sqlite"
    message = refused(environment, "eval", "run", "--task", str(tmp_path / "t.jsonl"), "--store", str(store),
                      "--pair", "pocket", *vary)  # fmt: skip
    assert "cell 'lookahead_reasoning reasoning.on_reject=keep_prefix at-once=1'" in message
    assert not store.exists()


@pytest.fixture(scope="module")
def server(environment: dict[str, str]) -> Generator[str]:
    command = [sys.executable, "-m", "specreason.cli.app", "serve", "--pair", "pocket", "--port", "0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = next(
            found[0] for line in process.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line))
        )
        yield address
        process.terminate()


def test_a_request_takes_the_policy_and_its_knob(server: str) -> None:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": PROBLEMS[0].text}],
        "specreason": {
            "scheme": "self_sure",
            "policy": {"self_sure": {"least": 1}},
            "include_steps": True,
        },
    }
    with httpx2.Client(base_url=server, trust_env=False, timeout=60) as client:
        answer = client.post("/v1/chat/completions", json=body).json()
        report = answer["specreason"]["choices"][0]
        assert (report["scheme"], report["accepted"]) == ("self_sure", 0)
        assert report["rejections"] == {"doubt": report["drafts"]}
        assert {name for step in report["steps"] for name in step["signals"]} == {"self_trust"}
        assert answer["usage"]["specreason"]["small"]["scored"] > 0
        assert (
            'specreason_signal_count{model="specreason",signal="self_trust"}' in client.get("/metrics").text
        )

        body["specreason"]["policy"]["self_sure"]["least"] = 7
        error = client.post("/v1/chat/completions", json=body).json()["error"]
        assert error["param"] == "specreason.policy.self_sure.least"
        schema = client.get("/openapi.json").text
        assert "Least trust of the small model in its own step." in schema


def test_a_study_varies_the_knob_and_the_report_shows_it(environment: dict[str, str], tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": str(n), "problem": problem.text, "answer": str(problem.answer)})
        for n, problem in enumerate(PROBLEMS)
    ]
    (tmp_path / "task.jsonl").write_text("\n".join(lines))
    specreason(
        environment, "eval", "run", "--task", "task.jsonl", "--pair", "pocket", "--store", "s.sqlite",
        "--vary", "scheme=base,self_sure", "--vary", "policy.self_sure.least=0,1",
        cwd=tmp_path,
    )  # fmt: skip
    specreason(environment, "eval", "report", "s.sqlite", cwd=tmp_path)
    page = (tmp_path / "s.html").read_text()
    for shown in (
        "self_sure least=0",
        "self_sure least=1",
        "self_trust by verdict",
        "policy.self_sure.least",
    ):
        assert shown in page
    traced = specreason(
        environment, "eval", "trace", "s.sqlite", "0", "--cell", "self_sure least=1", cwd=tmp_path
    )
    assert '"signal_measured"' in traced
    assert '"self_sure":{"least":1.0}' in traced
