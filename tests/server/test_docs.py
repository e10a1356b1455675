"""docs/api.md tells of every field, docs/serving.md of every metric."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

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
def test_every_field_that_can_be_sent_is_told(api: str, model: type[BaseModel]) -> None:
    names = set(model.model_fields) - neutral_fields(model)
    assert [name for name in sorted(names) if name not in api] == []


@pytest.mark.parametrize(
    "model",
    [
        replies.Usage,
        replies.ModelTokens,
        replies.StepReport,
        replies.ChoiceReport,
        replies.Report,
        replies.OutputMessage,
        replies.ChunkReport,
        replies.Delta,
        replies.ErrorBody,
    ],
)
def test_every_field_that_is_told_is_explained(api: str, model: type[BaseModel]) -> None:
    names = set(model.model_fields) - USUAL
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", api)] == []


def test_every_metric_is_listed() -> None:
    listed = (DOCS / "serving.md").read_text(encoding="utf-8")
    page = Metrics().page().decode()
    names = re.findall(r"^# TYPE specreason_(\w+) (?:counter|histogram)", page, re.MULTILINE)
    assert len(names) > 15
    assert [name for name in names if f"`{name}`" not in listed] == []
