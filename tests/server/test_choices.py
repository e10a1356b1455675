"""What operators see: metrics, spans, log lines; and what they never see."""

import logging
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer
from serving import asking, base, pair, served, small

from specreason.errors import EngineUnavailable

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "the secret of the pyramids"


async def test_metrics_count_steps_tokens_signals_and_times() -> None:
    async with served() as state:
        for stream in (False, True):
            assert (await state.chat(stream=stream)).status_code == 200
        assert (await state.chat(temperature=9)).status_code == 400
        metric = state.metric
        assert await metric("requests_total", model="specreason", status="200", outcome="ok") == 2
        assert await metric("requests_total", status="400", outcome="invalid_value") == 1
        assert await metric("steps_total", author="small") == 4
        assert await metric("steps_total", author="base") == 2
        assert await metric("drafts_total", verdict="accepted") == 4
        assert await metric("drafts_total", verdict="rejected_score") == 2
        assert await metric("signal_count", model="specreason", signal="judge_score") == 6
        assert await metric("signal_bucket", signal="judge_score", le="1.0") == 0
        assert await metric("signal_bucket", signal="judge_score", le="2.0") == 2
        assert await metric("signal_seconds_count", model="specreason", signal="judge_score") == 6
        assert 0 < await metric("signal_seconds_sum", signal="judge_score") < 10
        assert await metric("generated_tokens_total", role="small", phase="draft") == 32
        assert await metric("delivered_tokens_total", role="base", phase="answer") == 6
        assert await metric("first_step_seconds_count") == 2
        assert await metric("first_answer_seconds_count") == 2
        assert await metric("step_interval_seconds_count") == 4
        assert await metric("request_seconds_count") == 2
        assert await metric("overhead_seconds_count") == 2
        assert 0 < await metric("cached_tokens_total") <= await metric("prompt_tokens_total")
        assert await metric("queue_depth") == await metric("running") == 0


async def test_a_reply_without_a_score_is_measured_and_has_no_value() -> None:
    async with served(pair(base(scores={"is 9": "no digit"}))) as state:
        reply = await state.chat(specreason={"include_steps": True})
        choice = reply.json()["specreason"]["choices"][0]
        assert choice["rejections"] == {"unscorable": 1}
        assert choice["steps"][1]["signals"] == {"judge_score": None}
        assert await state.metric("drafts_total", verdict="rejected_unscorable") == 1
        assert await state.metric("signal_seconds_count", signal="judge_score") == 3
        assert await state.metric("signal_count", signal="judge_score") == 2


async def test_metrics_count_failing_engines() -> None:
    lost = EngineUnavailable("gone", engine="small")
    broken = EngineUnavailable("gone", engine="base")
    async with served(pair(base(), small(failures={0: lost}))) as state:
        assert (await state.chat()).status_code == 200
        assert await state.metric("degraded_total") == 1
        assert await state.metric("engine_errors_total", kind="fallback") == 1
    async with served(pair(base(failures={0: broken})), resume_within=0) as state:
        await state.chat()
        assert await state.metric("requests_total", status="503", outcome="engine_unavailable") == 1
        assert await state.metric("engine_errors_total", kind="EngineUnavailable") == 1


@pytest.fixture
def collector() -> tuple[Tracer, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), exporter


async def test_spans_are_request_step_draft_signal_rewrite(
    collector: tuple[Tracer, InMemorySpanExporter],
) -> None:
    tracer, exporter = collector
    async with served(tracer=tracer) as state:
        reply = await state.client.post(
            "/v1/chat/completions",
            json=asking(SECRET, seed=3),
            headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        )
        assert reply.status_code == 200
    spans = exporter.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans if span.context}
    names = [
        (span.name, by_id[span.parent.span_id].name if span.parent and span.parent.span_id in by_id else None)
        for span in spans
    ]
    assert names.count(("step", "chat specreason")) == 3
    assert names.count(("draft", "step")) == names.count(("judge_score", "step")) == 3
    assert names.count(("rewrite", "step")) == 1
    assert names.count(("answer", "chat specreason")) == 1
    request = next(span for span in spans if span.name == "chat specreason")
    assert request.context is not None
    assert f"{request.context.trace_id:x}".zfill(32) == TRACE
    said = dict(request.attributes or {})
    assert said["gen_ai.request.model"] == "specreason"
    assert said["gen_ai.request.seed"] == 3
    assert said["gen_ai.usage.output_tokens"] == 19
    assert all((span.start_time or 0) <= (span.end_time or 0) for span in spans)
    assert SECRET not in " ".join(span.to_json() for span in spans)


@pytest.mark.parametrize("log_prompts", [False, True])
async def test_a_line_a_request_and_no_text_unless_asked_for(
    log_prompts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(log_prompts=log_prompts, api_keys=["key-of-the-first"]) as state:
        for body in (asking(SECRET, user="someone"), asking(SECRET, temperature=7), {"nothing": SECRET}):
            await state.client.post(
                "/v1/chat/completions",
                json=body,
                headers={"Authorization": "Bearer key-of-the-first", "X-Request-Id": "request-7"},
            )
    lines = [record for record in caplog.records if record.name == "specreason.server"]
    told: list[Any] = [record.msg for record in lines if record.levelno == logging.INFO]
    said = [line for line in told if line["event"] == "request"]
    assert len(said) == 3
    first = said[0]
    assert first["request_id"] == "request-7"
    assert (first["model"], first["user"], first["status"]) == ("specreason", "someone", 200)
    assert (first["steps"], first["drafts"], first["completion_tokens"]) == (3, 3, 19)
    assert said[1]["outcome"] == "invalid_value"
    everything = " ".join(str(record.msg) for record in caplog.records)
    assert (SECRET in everything) == log_prompts
    assert ("boxed" in everything) == log_prompts
    assert "key-of-the-first" not in everything
