"""What every request passes first: an id, a key, a line in the log. Plain ASGI: disconnects get through."""

import re
import time
import uuid
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from specreason.server.auth import Keys
from specreason.server.errors import Answered, Refused, answered
from specreason.server.streaming import ClientGone

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_OPEN_PATHS = frozenset({"/health", "/ready", "/version", "/docs", "/openapi.json"})
_CLOSED_BY_CLIENT = 499
_log = structlog.get_logger("specreason.server")


class Front:
    """Names each request, checks its key, and logs how it ended."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        visit = _Visit(request_id, send)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._served(scope, receive, visit, headers, state)
            _log.log(
                20 if scope["path"].startswith("/v1/") else 10,
                "request",
                method=scope["method"],
                path=scope["path"][:200],
                status=visit.status,
                seconds=round(visit.seconds, 4),
                key=state.get("key"),
            )

    async def _served(
        self,
        scope: Scope,
        receive: Receive,
        visit: "_Visit",
        headers: dict[bytes, bytes],
        state: dict[str, Any],
    ) -> None:
        try:
            state["key"] = "anyone" if scope["path"] in _OPEN_PATHS else self._keys.holder(headers)
            await self._app(scope, receive, visit.send)
        except Refused as refusal:
            if visit.status is None:
                await error_response(answered(refusal))(scope, receive, visit.send)
        except ClientGone:
            visit.status = _CLOSED_BY_CLIENT
        except Exception:
            _log.exception("internal error")
            if not visit.complete:
                raise  # uvicorn closes the connection, so that nobody waits for the rest


class _Visit:
    """One request: what was sent back, and when it began."""

    def __init__(self, request_id: str, send: Send) -> None:
        self.status: int | None = None
        self.complete = False
        self._request_id = request_id.encode()
        self._send = send
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._request_id)]
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True


def error_response(told: Answered) -> JSONResponse:
    """An error as a response."""
    return JSONResponse(told.json, told.status, dict(told.headers))


async def our_error(_request: Request, error: Exception) -> JSONResponse:
    """The exception handler of errors on purpose."""
    return error_response(answered(error))
