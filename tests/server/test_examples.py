"""The examples as they stand, each a process of its own, against a server around a real model.

The quick round takes the pocket pair, whatever it makes of their problems; the other one is slow on CPUs.
"""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from serving import served_in_a_thread

from specreason import ReasoningSettings, ServerSettings, Settings
from specreason.models import catalogue

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "key-of-the-examples"

pytestmark = pytest.mark.xdist_group("models")


def settings(pair: str) -> Settings:
    return Settings(
        pair=pair,
        server=ServerSettings.model_validate({"port": 0, "api_keys": [KEY]}),
        reasoning=ReasoningSettings(token_budget=150, max_step_tokens=40),
    )


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(settings(catalogue.POCKET_PAIR), id="pocket"),
        pytest.param(settings(catalogue.EMBEDDED_PAIR), id="pair", marks=pytest.mark.real_pair),
    ],
)
def url(request: pytest.FixtureRequest) -> Generator[str]:
    with served_in_a_thread(None, request.param) as where:
        yield f"{where}/v1"


def run(url: str, *command: str) -> str:
    environment = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_official_client(url: str) -> None:
    told = run(url, sys.executable, str(EXAMPLES / "openai_client.py"))
    assert "reasoning_tokens" in told
    assert "by small" in told or "by base" in told
    assert told.rstrip().endswith("tokens")


def test_langchain(url: str) -> None:
    assert "'output_tokens'" in run(url, sys.executable, str(EXAMPLES / "langchain_client.py"))


def test_litellm(url: str) -> None:
    told = run(url, sys.executable, str(EXAMPLES / "litellm_client.py"))
    assert "thinking: " in told
    assert "thinking: None" not in told


def test_curl(url: str) -> None:
    told = run(url, "sh", str(EXAMPLES / "curl.sh"))
    assert '"object":"list"' in told
    assert '"object":"chat.completion"' in told
    assert '"steps":[{"index":0' in told
    assert told.rstrip().endswith("data: [DONE]")
