"""POST /v1/chat/completions."""

import time
from collections.abc import Mapping

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from specreason.server.asking import Asked, asked
from specreason.server.errors import Refused, from_validation
from specreason.server.house import House, house_of
from specreason.server.metrics import RequestMetrics
from specreason.server.openapi import CHAT
from specreason.server.streaming import EventStream, Pace, while_connected
from specreason.server.telling import Solving
from specreason.server.translate import Translation, failure_frames
from specreason.server.wire import ChatRequest

router = APIRouter()


@router.post("/v1/chat/completions", **CHAT)
async def chat(request: Request) -> Response:
    """Solve the conversation's last turn; the thinking comes in `reasoning`, the answer in `content`."""
    began = time.perf_counter()
    house = house_of(request)
    house.closing.check()
    wanted = asked(
        await _body(request, house.settings.max_request_bytes), house.session.settings, house.offers
    )
    solving = _solving(house, wanted, request, began)
    translation = Translation(solving)
    if not wanted.stream:
        reply = await while_connected(translation.reply(), request.receive, house.closing)
        return Response(reply.model_dump_json(), media_type="application/json", headers=_times(solving))
    return EventStream(
        translation.frames(),
        failure=failure_frames,
        headers=lambda: _times(solving),
        closing=house.closing,
        pace=Pace(house.settings.heartbeat, house.settings.client_timeout),
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
        told = from_validation(error.errors(include_url=False, include_input=False)).body.error
        raise Refused(told.message, param=told.param, code=told.code) from None


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


def _solving(house: House, wanted: Asked, request: Request, began: float) -> Solving:
    watchers = [RequestMetrics(house.metrics, wanted.offer.name, began)]
    return Solving(
        house.session, house.admission, wanted, key=request.state.key, watchers=watchers, began=began
    )


def _times(solving: Solving) -> Mapping[str, str]:
    return {
        "x-specreason-overhead-ms": f"{solving.overhead_s * 1000:.1f}",
        "x-specreason-queue-ms": f"{solving.queue_s * 1000:.1f}",
    }
