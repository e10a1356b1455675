"""What is sent to each kind of server to narrow the choice of tokens, or to hold a text to a form."""

import json
from typing import Any

import httpx2
import pytest

from specreason.config import EngineSettings
from specreason.engines.dialects import DIALECTS
from specreason.engines.http import Endpoint, HttpEngine
from specreason.engines.protocol import Capabilities, Constraint, Prompt, Sampling, Segment
from specreason.engines.transport import Transport
from specreason.errors import ConfigError

SCHEMA = {"type": "object", "properties": {"value": {"type": "integer"}}}
CHUNK = {"choices": [{"text": "8", "finish_reason": "stop"}]}


async def sent(dialect: str, sampling: Sampling) -> dict[str, Any]:
    """The body of a completion request to a server of this kind, without what every one of them gets."""
    bodies: list[dict[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        events = f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n"
        return httpx2.Response(200, text=events, headers={"Content-Type": "text/event-stream"})

    settings = EngineSettings(url="http://127.0.0.1:1/v1")
    transport = Transport("base", settings, httpx2.MockTransport(answer))
    engine = HttpEngine(transport, settings, Endpoint(DIALECTS[dialect], "m", 100, Capabilities(), ""))
    prompt = Prompt().plus(Segment("Two and two is"))
    for one in (Sampling(), sampling):
        assert [piece.text async for piece in engine.generate(prompt, sampling=one, max_tokens=9)] == ["8"]
    await engine.aclose()
    plain, narrowed = bodies
    return {name: value for name, value in narrowed.items() if name not in plain}


@pytest.mark.parametrize(
    ("dialect", "constraint", "body"),
    [
        ("vllm", Constraint("json", SCHEMA), {"structured_outputs": {"json": SCHEMA}}),
        ("vllm", Constraint("regex", "a+"), {"structured_outputs": {"regex": "a+"}}),
        ("vllm", Constraint("choice", ("a", "b")), {"structured_outputs": {"choice": ["a", "b"]}}),
        ("vllm", Constraint("grammar", "g"), {"structured_outputs": {"grammar": "g"}}),
        ("sglang", Constraint("json", SCHEMA), {"json_schema": json.dumps(SCHEMA)}),
        ("sglang", Constraint("regex", "a+"), {"regex": "a+"}),
        ("sglang", Constraint("choice", ("a", "b.")), {"regex": r"(a|b\.)"}),
        ("sglang", Constraint("grammar", "g"), {"ebnf": "g"}),
        (
            "llama-server",
            Constraint("json", SCHEMA),
            {"json_schema": {**SCHEMA, "x-guidance": {"whitespace_flexible": False}}},
        ),
        ("llama-server", Constraint("grammar", "g"), {"grammar": "g"}),
        ("llama-server", Constraint("choice", ("a", 'b"')), {"grammar": r'root ::= "a" | "b\""'}),
    ],
)
async def test_a_form_is_asked_for_in_the_servers_words(
    dialect: str, constraint: Constraint, body: dict[str, Any]
) -> None:
    assert await sent(dialect, Sampling(constraint=constraint)) == body


async def test_a_server_that_knows_no_form_is_not_asked_for_one() -> None:
    with pytest.raises(ConfigError, match="generic"):
        await sent("generic", Sampling(constraint=Constraint("json", SCHEMA)))


@pytest.mark.parametrize(
    ("dialect", "top_k", "min_p", "body"),
    [
        ("vllm", 20, 0.1, {"top_k": 20, "min_p": 0.1}),
        ("llama-server", -1, 0.0, {"top_k": -1, "min_p": 0.0}),
        ("generic", 20, 0.1, {"top_k": 20, "min_p": 0.1}),
        ("generic", -1, 0.0, {}),
        ("sglang", None, None, {}),
    ],
)
async def test_ranks_are_sent_where_they_are_set(
    dialect: str, top_k: int | None, min_p: float | None, body: dict[str, Any]
) -> None:
    assert await sent(dialect, Sampling(top_k=top_k, min_p=min_p)) == body
