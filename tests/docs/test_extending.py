"""docs/extending.md from its first block to its last: built, found by entry points, used by every command."""

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from extending import PAGE, Package, built
from pages import DOCS, commands

COMMANDS = list(commands(DOCS / "extending.md"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return built(tmp_path_factory.mktemp("extending"))


def solved(package: Package, *flags: str) -> dict[str, Any]:
    done = package.run("specreason", "solve", "What is 12 * 13?", "--json", *flags)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_example_prints_what_the_page_shows(package: Package) -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    done = package.run("python", "try_steady.py")
    assert done.stdout == shown, done.stderr


def test_every_command_of_the_page_runs_in_its_order(package: Package) -> None:
    assert len(COMMANDS) > 10
    for command in COMMANDS:
        done = package.run(*command)
        assert done.returncode == 0, (command, done.stdout + done.stderr)


def test_a_knob_and_a_signal_are_seen_in_the_result(package: Package) -> None:
    strict, lenient = (
        solved(package, "--scheme", "steady", "--set", f"policy.steady.most={n}") for n in (0, 2)
    )
    assert [step["reason"] for step in strict["steps"]] == [None, "doubt", None]
    assert [step["signals"] for step in strict["steps"]] == [{"doubts": 0}, {"doubts": 2}, {"doubts": 0}]
    assert [step["origin"] for step in lenient["steps"]] == ["draft", "draft", "draft"]


def test_a_signal_that_asks_a_model_is_measured_and_counted(package: Package) -> None:
    result = solved(package, "--scheme", "checked", "--set", "policy.checked.sure=0.95")
    assert [step["reason"] for step in result["steps"]] == ["no", "doubt", None]
    assert [step["signals"].get("yes") for step in result["steps"]] == [pytest.approx(0.9), None, 1.0]
    assert result["tokens"]["base"]["scored"] == 2


def test_the_judge_is_asked_only_where_the_free_signal_does_not_decide(package: Package) -> None:
    unasked = solved(package, "--scheme", "careful", "--set", "policy.careful.likely=-99")
    assert all(set(step["signals"]) == {"least_logprob"} for step in unasked["steps"])
    asked = solved(package, "--scheme", "careful", "--set", "policy.careful.likely=0")
    assert all(set(step["signals"]) == {"least_logprob", "judge_score"} for step in asked["steps"])


def test_a_schedule_gives_the_same_steps_as_the_sequential_one(package: Package) -> None:
    chains = [
        [step["text"] for step in solved(package, "--scheme", "steady", "--set", f"schedule={name}")["steps"]]
        for name in ("sequential", "eager")
    ]
    assert chains[0] == chains[1]


def test_a_repair_writes_only_its_part(package: Package) -> None:
    result = solved(package, "--scheme", "steady", "--set", "on_reject=hand_back")
    (step,) = (step for step in result["steps"] if step["origin"] == "rewrite")
    assert 0 < step["tokens"] <= 24


def test_the_section_is_explained_and_checked(package: Package) -> None:
    told = package.run("specreason", "config", "--explain").stdout
    assert "A draft is rejected if it has more words of doubt than this." in told
    refused = package.run(
        "specreason", "solve", "What?", "--scheme", "steady", "--set", "policy.steady.most=-1"
    )
    assert refused.returncode == 2
    assert "most" in refused.stderr


def test_the_request_of_the_page_is_served(package: Package) -> None:
    (body,) = re.findall(r"^curl .*? -d '(.*?)'$", PAGE, re.MULTILINE | re.DOTALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).parent / "specreason")
    environment = package.environment({"SPECREASON_SERVER__PORT": str(port)})
    server = subprocess.Popen([program, "serve"], cwd=package.folder, env=environment, stderr=subprocess.PIPE)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            _until_ready(client)
            reply = client.post("/v1/chat/completions", json=json.loads(body)).json()
            metrics = client.get("/metrics").text
    finally:
        server.terminate()
        server.communicate(timeout=30)
    steps = reply["specreason"]["choices"][0]["steps"]
    assert [step["reason"] for step in steps] == [None, "doubt", None]
    assert 'signal="doubts"' in metrics


def _until_ready(client: httpx2.Client) -> None:
    ends = time.monotonic() + 60
    while True:
        try:
            if client.get("/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < ends, "the server did not start"
        time.sleep(0.2)
