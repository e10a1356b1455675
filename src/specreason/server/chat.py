"""POST /v1/chat/completions."""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from specreason.config import ServerSettings
from specreason.engines.transport import call_headers
from specreason.server.choices import Solving
from specreason.server.errors import Refused, answered
from specreason.server.metrics import RequestMetrics
from specreason.server.openapi import CHAT
from specreason.server.record import record_of
from specreason.server.request import SolveRequest, asked
from specreason.server.state import state_of
from specreason.server.streaming import EventStream, Pace, while_connected
from specreason.server.tracing import RequestTrace
from specreason.server.translate import Translation, failure_frames
from specreason.server.validation import refusal
from specreason.server.wire import ChatRequest

_LONGEST_USER = 200
_log = structlog.get_logger("specreason.server")
router = APIRouter()


@router.post("/v1/chat/completions", **CHAT)
async def chat(request: Request) -> Response:
    """Solve the conversation's last turn; the thinking comes in `reasoning`, the answer in `content`."""
    state, record = state_of(request), record_of(request)
    state.shutdown.check()
    body = await _body(request, state.settings.max_request_bytes)
    wanted = asked(body, state.session.settings, state.offers)
    spans = RequestTrace(state.tracer, wanted, request.headers)
    call_headers.set(spans.onward)
    watchers = [RequestMetrics(state.metrics, wanted.offer.name, record.began), spans]
    record.solving = solving = Solving(
        state.session, state.admission, wanted, key=record.key, watchers=watchers, began=record.began
    )
    record.said = _said(wanted, state.settings)
    record.on_end = lambda: spans.end(solving.accounts, record.outcome)
    translation = Translation(solving)
    if not wanted.stream:
        reply = await while_connected(translation.reply(), request.receive, state.shutdown)
        return Response(reply.model_dump_json(), media_type="application/json", headers=_times(solving))

    def failure(error: Exception) -> bytes:
        record.outcome = answered(error).body.error.code
        if record.outcome == "internal_error":
            _log.error("internal error", exc_info=error)
        return failure_frames(error)

    return EventStream(
        translation.frames(),
        failure=failure,
        headers=lambda: _times(solving),
        shutdown=state.shutdown,
        pace=Pace(state.settings.heartbeat, state.settings.client_timeout),
    )


async def _body(request: Request, limit: int) -> ChatRequest:
    # Pages of other origins can send anything but this type without asking first.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(
            "send the body as Content-Type: application/json", status=415, code="unsupported_media_type"
        )
    try:
        return ChatRequest.model_validate_json(await _read(request, limit))
    except ValidationError as error:
        raise refusal(error.errors(include_url=False)) from None


async def _read(request: Request, limit: int) -> bytes:
    """The body, of at most `limit` bytes; no more of it is read than that."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise Refused(
                f"the body is larger than {limit} bytes (setting 'server.max_request_bytes')",
                status=413,
                code="request_too_large",
            )
        parts.append(part)
    return b"".join(parts)


def _said(wanted: SolveRequest, settings: ServerSettings) -> dict[str, Any]:
    """What the log says of the request; its text only if that was asked for."""
    said: dict[str, Any] = {"model": wanted.offer.name, "stream": wanted.stream, "n": wanted.choices}
    if wanted.user is not None:
        said["user"] = wanted.user[:_LONGEST_USER]
    if settings.log_prompts:
        said["messages"] = list(wanted.messages)
    return said


def _times(solving: Solving) -> Mapping[str, str]:
    return {
        "x-specreason-overhead-ms": f"{solving.overhead_s * 1000:.1f}",
        "x-specreason-queue-ms": f"{solving.queue_s * 1000:.1f}",
    }
