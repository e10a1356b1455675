"""What is refused: by which status, in OpenAI's error shape, with the name of the field."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from serving import Json, Served, asking, base, pair, served, small

from specreason.errors import ContextOverflow, EngineRejected, EngineTimeout, EngineUnavailable
from specreason.server.replies import ErrorReply

RULE = "specreason.policy.specreason"
KEY, OTHER_KEY = "key-of-the-first", "key-of-the-other"


@pytest.fixture
async def state() -> AsyncGenerator[Served]:
    async with served(max_tokens=1000, max_choices=4, max_request_bytes=4096) as running:
        yield running


async def refused(state: Served, status: int = 400, **body: Any) -> Json:
    reply = await state.chat(**body)
    assert reply.status_code == status, reply.text
    ErrorReply.model_validate(reply.json())
    return reply.json()["error"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"seed": 2**64}, "seed"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"n": 0}, "n"),
        ({"n": 5}, "n"),
        ({"stop": ""}, "stop"),
        ({"max_completion_tokens": 5, "max_tokens": 6}, "max_tokens"),
        ({"reasoning_effort": "most"}, "reasoning_effort"),
        ({"reasoning_effort": "none", "specreason": {"token_budget": 9}}, "specreason.token_budget"),
        ({"reasoning_effort": "low", "specreason": {"token_budget": 9}}, "specreason.token_budget"),
        ({"specreason": {"token_budget": 1001}}, "specreason.token_budget"),
        ({"specreason": {"policy": {"specreason": {"threshold": 11}}}}, RULE + ".threshold"),
        ({"specreason": {"policy": {"specreason": {"treshold": 7}}}}, RULE + ".treshold"),
        ({"specreason": {"policy": {"specreson": {"threshold": 7}}}}, "specreason.policy.specreson"),
        ({"specreason": {"threshold": 7}}, "specreason.threshold"),
        ({"specreason": {"on_reject": "salvage"}}, "specreason.on_reject"),
        ({"specreason": {"scheme": "bass"}}, "specreason.scheme"),
        ({"specreason": {"lookahead": 17}}, "specreason.lookahead"),
        ({"specreason": {"judge": "greedy"}}, "specreason.judge"),
        ({"model": "scripted-base", "specreason": {"scheme": "small"}}, "specreason.scheme"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"temprature": 0.5}, "temprature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "Hello"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "x", "mood": "good"}]}, "messages.0.mood"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages.0.content.0.type",
        ),
    ],
)
async def test_a_field_that_cannot_be_honoured_is_named(state: Served, body: Json, param: str) -> None:
    for stream in (False, True):
        extra = {"stream": True} if stream and "stream_options" not in body else {}
        error = await refused(state, **body, **extra)
        assert error["param"] == param
        assert error["type"] == "invalid_request_error"
        assert param.rsplit(".", 1)[-1] in error["message"] or "messages" in param


async def test_a_scheme_that_needs_what_was_not_started_is_refused(state: Served) -> None:
    for stream in (False, True):
        error = await refused(state, stream=stream, specreason={"scheme": "base+decode"})
        assert (error["param"], error["code"]) == ("specreason.scheme", "scheme_unavailable")
        assert "'base.decode_url'" in error["message"]


async def test_a_misspelt_field_gets_a_hint(state: Served) -> None:
    assert "did you mean 'temperature'?" in (await refused(state, temprature=1))["message"]
    misspelt: list[tuple[Json, str]] = [
        ({"policy": {"specreason": {"treshold": 1}}}, "did you mean 'threshold'?"),
        ({"policy": {"specreson": {"threshold": 1}}}, "did you mean 'specreason'?"),
        ({"tresholt": 1}, f"did you mean '{RULE}.threshold'?"),
        ({"on_rejection": "hedge"}, "did you mean 'on_reject'?"),
    ]
    for given, hint in misspelt:
        assert hint in (await refused(state, specreason=given))["message"]


SAID: list[tuple[Json, str]] = [
    ({"foo": 1}, "unknown field 'foo'; this API has no such field (docs/api.md)"),
    (
        {"logprob": True},
        "unknown field 'logprob'; this API has no such field (docs/api.md)",
    ),
    ({"threshold": 5}, "unknown field 'threshold'; did you mean 'specreason.policy.specreason.threshold'?"),
    (
        {"specreason": {"threshold": 5}},
        "unknown field 'specreason.threshold'; did you mean 'specreason.policy.specreason.threshold'?",
    ),
    ({"lookahead": 5}, "unknown field 'lookahead'; did you mean 'specreason.lookahead'?"),
    (
        {"specreason": {"temperature": 1}},
        "unknown field 'specreason.temperature'; did you mean 'temperature', outside of 'specreason'?",
    ),
    ({"stop": 5}, "'stop' is 5; it must be a string or a list of strings"),
    ({"stop": ["a", 5]}, "'stop.1' is 5; it must be a string"),
    ({"stream": "yes"}, "'stream' is \"yes\"; it must be true or false"),
    (
        {"specreason": {"include_steps": "yes"}},
        "'specreason.include_steps' is \"yes\"; it must be true or false",
    ),
    ({"temperature": "0.5"}, "'temperature' is \"0.5\"; it must be a number"),
    ({"temperature": 3}, "'temperature' is 3; it must be at most 2"),
    ({"seed": 2**64}, "'seed' is 18446744073709551616; it must be less than 18446744073709551616"),
    ({"n": 1.5}, "'n' is 1.5; it must be a whole number"),
    ({"user": 5}, "'user' is 5; it must be a string"),
    (
        {"specreason": {"policy": {"specreason": {"judge_prompt": "most"}}}},
        "'specreason.policy.specreason.judge_prompt' is \"most\"; it must be 'auto', 'paper' or 'inline'",
    ),
    (
        {"specreason": {"policy": {"specreason": {"threshold": 11}}}},
        "'specreason.policy.specreason.threshold' is 11; it must be at most 9",
    ),
    (
        {"specreason": {"scheme": "bass"}},
        "'specreason.scheme' is \"bass\"; it must be one of base, small, specreason, base+decode, "
        "specreason+decode; did you mean 'base'?",
    ),
    (
        {"specreason": {"on_reject": "salvage"}},
        "'specreason.on_reject': it must be one of hedge, keep_prefix, rewrite",
    ),
    (
        {"specreason": {"schedule": "parallel"}},
        "'specreason.schedule': it must be one of auto, lookahead, sequential",
    ),
    ({"messages": "x" * 200}, "'messages' is a long string; it must be a list"),
    (
        {"messages": [{"role": "user", "content": {}}]},
        "'messages.0.content' is an object; it must be a string or a list of text parts",
    ),
]


@pytest.mark.parametrize(("body", "said"), SAID)
async def test_a_refusal_names_field_value_and_what_is_right(state: Served, body: Json, said: str) -> None:
    assert (await refused(state, **body))["message"] == said


async def test_a_whole_number_may_be_written_with_a_point(state: Served) -> None:
    assert (await state.chat(max_tokens=100.0, seed=3.0)).status_code == 200


async def test_a_code_says_of_every_refusal_what_kind_it_is(state: Served) -> None:
    refusals: list[tuple[Json, str]] = [
        ({"reasoning_effort": "low", "specreason": {"token_budget": 9}}, "conflicting_fields"),
        ({"max_completion_tokens": 5, "max_tokens": 6}, "conflicting_fields"),
        ({"stream_options": {}}, "conflicting_fields"),
        ({"model": "scripted-base", "specreason": {"scheme": "small"}}, "conflicting_fields"),
        ({"n": 5}, "invalid_value"),
        ({"messages": [{"role": "user"}]}, "missing_field"),
    ]
    for body, code in refusals:
        assert (await refused(state, **body))["code"] == code


async def test_neutral_values_of_unsupported_fields_are_let_in(state: Served) -> None:
    neutral: Json = {
        "tools": [],
        "tool_choice": "none",
        "logprobs": False,
        "presence_penalty": 0.0,
        "frequency_penalty": 0,
        "response_format": {"type": "text"},
        "store": False,
        "user": "someone",
        "stop": None,
        "n": None,
        "stream": None,
    }
    assert (await state.chat(**neutral)).status_code == 200


async def test_an_unknown_model_is_404(state: Served) -> None:
    error = await refused(state, 404, model="gpt-4o")
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "specreason, scripted-small, scripted-base" in error["message"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'"text"', "application/json", 400),
        (b'{"model": "specreason"}', "application/json", 400),
        (b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}', "application/json", 400),
        (b'{"\xff": 1}', "application/json", 400),
        (b"[" * 4000, "application/json", 400),
        (b'{"temperature": NaN}', "application/json", 400),
        (b'{"seed": 1e400}', "application/json", 400),
        (b"model=specreason", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b"x" * 5000, "application/json", 413),
    ],
)
async def test_a_body_that_is_none(state: Served, content: bytes, kind: str, status: int) -> None:
    reply = await state.client.post("/v1/chat/completions", content=content, headers={"Content-Type": kind})
    assert reply.status_code == status, reply.text
    ErrorReply.model_validate(reply.json())


async def test_unknown_paths_and_methods_have_the_same_shape(state: Served) -> None:
    for reply in (
        await state.client.get("/v1/nothing"),
        await state.client.get("/v1/chat/completions"),
        await state.client.post("/v1/embeddings", json={}),
        await state.client.delete("/v1/models"),
    ):
        assert reply.status_code in {404, 405}
        ErrorReply.model_validate(reply.json())


async def test_what_is_not_there_is_named(state: Served) -> None:
    for method, path, status, said in (
        ("GET", "/", 404, "there is no GET /; GET /docs lists all paths"),
        ("GET", "/v1/embeddings", 404, "there is no GET /v1/embeddings; GET /docs lists all paths"),
        (
            "POST",
            "/v1/chat/completions/",
            404,
            "there is no POST /v1/chat/completions/; did you mean /v1/chat/completions?",
        ),
        (
            "GET",
            "/v1/chat/completions",
            405,
            "there is no GET /v1/chat/completions; the path takes POST",
        ),
    ):
        reply = await state.client.request(method, path)
        assert (reply.status_code, reply.json()["error"]["message"]) == (status, said)


async def test_load_balancers_may_ask_without_reading(state: Served) -> None:
    for path in ("/health", "/ready", "/version"):
        reply = await state.client.head(path)
        assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (ContextOverflow("too long", engine="base"), 400, "context_length_exceeded"),
        (EngineRejected("no such model", engine="base"), 502, "engine_rejected"),
        (EngineUnavailable("connection refused", engine="base"), 503, "engine_unavailable"),
        (EngineTimeout("silent", engine="base"), 504, "engine_timeout"),
    ],
)
async def test_an_engine_that_fails_at_once_has_a_status_of_its_own(
    failure: Any, status: int, code: str
) -> None:
    for stream in (False, True):
        engines = pair(base(failures={0: failure}))
        async with served(engines, resume_within=0) as state:
            error = await refused(state, status, model="scripted-base", stream=stream)
            assert error["code"] == code
            assert "the base model" in error["message"]
            assert str(failure) not in error["message"]  # it names addresses; the log has it


ADDRESS = "http://10.1.2.3:8000 answered 500: /srv/models/secret"


async def test_clients_are_not_told_where_the_models_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    lost: Any = EngineRejected(ADDRESS, engine="small")
    gone: Any = EngineUnavailable(ADDRESS, engine="base")
    for stream in (False, True):
        engines = pair(base(fails_at={1: gone}), small(failures={0: lost}))
        async with served(engines, resume_within=0.01) as state:
            reply = await state.chat(stream=stream)
            assert "the base model's server is unavailable" in reply.text
            assert "10.1.2.3" not in reply.text
        engines = pair(base(failures={1: gone}), small(failures={0: lost}))
        async with served(engines, resume_within=5) as state:
            reply = await state.chat(stream=stream)
            assert reply.status_code == 200
            assert "the small model's server failed" in reply.text
            assert "10.1.2.3" not in reply.text
    assert caplog.text.count("10.1.2.3") >= 4  # whoever runs the server is


async def test_what_is_a_bug_of_ours_tells_nothing_of_itself() -> None:
    failure: Any = RuntimeError("secret inner state")
    for stream in (False, True):
        async with served(pair(base(failures={0: failure}))) as state:
            reply = await state.chat(model="scripted-base", stream=stream)
            assert reply.status_code == 500
            assert "secret" not in reply.text
            ErrorReply.model_validate(reply.json())
            assert (await state.chat(model="scripted-base")).status_code == 200


# ---------------------------------------------------------------- keys


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(f"# the other one\n\n{OTHER_KEY}\n")
    return file


async def test_keys_open_the_api_and_nothing_is_told_of_them(key_file: Path) -> None:
    async with served(api_keys=[KEY], api_keys_file=key_file) as state:
        for headers in ({}, {"Authorization": "Bearer wrong-key-x"}, {"Authorization": f"Basic {KEY}"}):
            for path in ("/v1/models", "/metrics", "/v1/none"):
                reply = await state.client.get(path, headers=headers)
                assert reply.status_code == 401
                assert reply.headers["www-authenticate"] == "Bearer"
                ErrorReply.model_validate(reply.json())
                assert "wrong-key" not in reply.text
        for key in (KEY, OTHER_KEY):
            reply = await state.client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
            assert reply.status_code == 200
        for path in ("/health", "/ready", "/version"):
            assert (await state.client.get(path)).status_code == 200


async def test_web_pages_of_other_origins_are_kept_out_unless_named() -> None:
    preflight = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    async with served(api_keys=[KEY]) as state:
        reply = await state.client.options("/v1/chat/completions", headers=preflight)
        assert "access-control-allow-origin" not in reply.headers
    async with served(api_keys=[KEY], cors_origins=["http://localhost:3000"]) as state:
        reply = await state.client.options("/v1/chat/completions", headers=preflight)
        assert reply.status_code == 200
        assert reply.headers["access-control-allow-origin"] == "http://localhost:3000"
        reply = await state.client.post("/v1/chat/completions", json=asking(), headers=preflight)
        assert reply.status_code == 401
        assert reply.headers["access-control-allow-origin"] == "http://localhost:3000"
