"""POST /v1/chat/completions."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Protocol, TypeVar

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from specreason.config import ServerSettings
from specreason.engines.transport import call_headers
from specreason.server.chat_reply import ChatReplyWriter
from specreason.server.choices import Solving
from specreason.server.errors import Refused, response_to
from specreason.server.metrics import RequestMetrics
from specreason.server.openapi import CHAT
from specreason.server.record import record_of
from specreason.server.request import SolveRequest, asked
from specreason.server.state import state_of
from specreason.server.streaming import EventStream, Pace, while_connected
from specreason.server.tracing import RequestTrace
from specreason.server.validation import refusal
from specreason.server.wire import ChatRequest

Body = TypeVar("Body", bound=BaseModel)

_LONGEST_USER = 200
_log = structlog.get_logger("specreason.server")
router = APIRouter()


@router.post("/v1/chat/completions", **CHAT)
async def chat(request: Request) -> Response:
    """Answer the last message; the thinking is in `reasoning`, the answer in `content`."""
    body = await body_of(request, ChatRequest)
    settings = state_of(request).settings
    return await solved(request, body, lambda solving: ChatReplyWriter(solving, settings))


class ReplyWriter(Protocol):
    """Writes the reply to a request in the format of one API."""

    def frames(self) -> AsyncGenerator[bytes, None]:
        """The whole stream as server-sent events."""
        ...

    async def whole(self) -> bytes:
        """The response in one piece, as JSON."""
        ...

    def failure(self, error: Exception) -> bytes:
        """What ends a stream that broke."""
        ...


async def solved(
    request: Request, body: ChatRequest, writer_of: Callable[[Solving], ReplyWriter]
) -> Response:
    """The response to `body`, streamed or not."""
    state, record = state_of(request), record_of(request)
    wanted = asked(body, state.session.settings, state.offers)
    spans = RequestTrace(state.tracer, wanted, request.headers)
    call_headers.set(spans.onward)
    watchers = [RequestMetrics(state.metrics, wanted.offer.name, record.began), spans]
    record.solving = solving = Solving(
        state.session, state.admission, wanted, key=record.key, watchers=watchers, began=record.began
    )
    record.log_fields = _log_fields(wanted, state.settings)
    record.on_end = lambda: spans.end(solving.accounts, record.outcome)
    writer = writer_of(solving)
    if not wanted.stream:
        reply = await while_connected(writer.whole(), request.receive, state.shutdown)
        return Response(reply, media_type="application/json", headers=_times(solving))

    def failure(error: Exception) -> bytes:
        record.failed(error, response_to(error).body.error.code)
        if record.outcome == "internal_error":
            _log.error("internal error", exc_info=error)
        return writer.failure(error)

    return EventStream(
        writer.frames(),
        failure=failure,
        headers=lambda: _times(solving),
        shutdown=state.shutdown,
        pace=Pace(state.settings.heartbeat, state.settings.client_timeout),
    )


async def body_of(request: Request, kind: type[Body]) -> Body:
    """The body of a request, read as `kind`. Raises Refused, which names the field."""
    state = state_of(request)
    state.shutdown.check()
    # Pages of other origins can send anything but this type without asking first.
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "application/json":
        raise Refused(
            "send the body as Content-Type: application/json", status=415, code="unsupported_media_type"
        )
    try:
        return kind.model_validate_json(await _read(request, state.settings.max_request_bytes))
    except ValidationError as error:
        raise refusal(error.errors(include_url=False), kind) from None


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


def _log_fields(wanted: SolveRequest, settings: ServerSettings) -> dict[str, Any]:
    """What the log says of the request; its text only with `server.log_prompts`."""
    fields: dict[str, Any] = {"model": wanted.offer.name, "stream": wanted.stream, "n": wanted.choices}
    if wanted.user is not None:
        fields["user"] = wanted.user[:_LONGEST_USER]
    if settings.log_prompts:
        fields["messages"] = list(wanted.messages)
    return fields


def _times(solving: Solving) -> Mapping[str, str]:
    return {
        "x-specreason-overhead-ms": f"{solving.overhead_s * 1000:.1f}",
        "x-specreason-queue-ms": f"{solving.queue_s * 1000:.1f}",
    }
