"""docs/api.md explains every field, docs/serving.md every metric; their generated parts and blocks hold."""

import json
import re
import runpy
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from serving import pair, served, served_in_a_thread

from specreason import Settings
from specreason.reasoning.records import StepRecord
from specreason.server import replies
from specreason.server.metrics import Metrics
from specreason.server.overrides import RequestSettings
from specreason.server.responses_wire import ResponsesRequest
from specreason.server.validation import neutral_fields
from specreason.server.wire import ChatRequest

DOCS = Path(__file__).parents[2] / "docs"
# What OpenAI's own documentation tells, and what is there for the shape only.
USUAL = {"id", "object", "created", "index", "logprobs", "refusal", "role", "total_tokens", "message", "type"}


@pytest.fixture
def api() -> str:
    return (DOCS / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", [ChatRequest, RequestSettings, ResponsesRequest])
def test_every_field_that_can_be_sent_is_explained(api: str, model: type[BaseModel]) -> None:
    names = set(model.model_fields) - neutral_fields(model)
    assert [name for name in sorted(names) if name not in api] == []


@pytest.mark.parametrize(
    "model",
    [
        replies.Usage,
        replies.ModelTokens,
        replies.ChoiceReport,
        replies.Report,
        replies.OutputMessage,
        replies.ChunkReport,
        replies.Delta,
        replies.ErrorBody,
    ],
)
def test_every_field_of_a_response_is_explained(api: str, model: type[BaseModel]) -> None:
    names = set(model.model_fields) - USUAL
    assert unexplained(api, names) == []


def test_every_field_of_a_step_is_explained(api: str) -> None:
    assert unexplained(api, {field.name for field in fields(StepRecord)} - USUAL) == []


def unexplained(page: str, names: set[str]) -> list[str]:
    return [name for name in sorted(names) if not re.search(rf"\b{name}\b", page)]


def test_every_metric_is_listed() -> None:
    listed = (DOCS / "serving.md").read_text(encoding="utf-8")
    page = Metrics().page().decode()
    names = re.findall(r"^# TYPE specreason_(\w+) (?:counter|histogram)", page, re.MULTILINE)
    assert len(names) > 15
    assert [name for name in names if f"`{name}`" not in listed] == []


def test_the_generated_parts_are_those_of_the_code() -> None:
    pages = runpy.run_path(str(DOCS / "generate.py"))["pages"]()
    assert {path.name for path in pages} == {"configuration.md", "api.md"}
    assert [path.name for path, text in pages.items() if path.read_text(encoding="utf-8") != text] == []
    assert "| `policy.specreason.threshold` | float | ≥ 0 and ≤ 9, score |" in pages[DOCS / "api.md"]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_settings_shown_are_valid() -> None:
    shown = blocks((DOCS / "serving.md").read_text(encoding="utf-8"), "toml")
    assert len(shown) == 2
    for block in shown:
        Settings.model_validate(tomllib.loads(block))


def test_the_example_of_a_client_runs(api: str) -> None:
    (example,) = blocks(api, "python")
    with served_in_a_thread(pair(), Settings.model_validate({"server": {"port": 0}})) as url:
        names: dict[str, Any] = {}
        exec(example.replace("http://127.0.0.1:8080", url), names)
    assert names["reply"].specreason["choices"][0]["steps"]


async def test_the_error_shown_is_the_one_that_is_sent(api: str) -> None:
    (shown,) = blocks(api, "json")
    async with served() as state:
        assert (await state.chat(temperature=3)).json() == json.loads(shown)
