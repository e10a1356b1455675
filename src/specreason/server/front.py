"""What every request passes first: an id, a key, a line in the log. Plain ASGI: disconnects get through."""

import logging
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from specreason.server.auth import Keys
from specreason.server.errors import Answered, Refused, answered
from specreason.server.metrics import Metrics
from specreason.server.streaming import ClientGone
from specreason.server.visit import Visit, begun, visit_of

_CLOSED_BY_CLIENT = 499  # as nginx logs it; nobody gets to see it
_log = structlog.get_logger("specreason.server")


class Front:
    """Names each request, checks its key, and tells the log and the metrics how it ended."""

    def __init__(self, app: ASGIApp, keys: Keys, metrics: Metrics, *, log_texts: bool) -> None:
        self._app = app
        self._keys = keys
        self._metrics = metrics
        self._log_texts = log_texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = begun(scope)
        with structlog.contextvars.bound_contextvars(request_id=visit.request_id):
            try:
                await self._served(visit, scope, receive, _noting(visit, send))
            finally:
                self._tell(visit)

    async def _served(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if visit.guarded:
                visit.key = self._keys.holder(dict(scope["headers"]))
            await self._app(scope, receive, send)
        except Refused as refusal:
            visit.outcome = refusal.code or "refused"
            await error_response(answered(refusal))(scope, receive, send)
        except ClientGone:
            visit.status, visit.outcome = _CLOSED_BY_CLIENT, "client_gone"
        except Exception:
            visit.outcome = "internal_error"
            _log.exception("internal error")
            if not visit.complete:
                raise  # uvicorn closes the connection, so that nobody waits for the rest

    def _tell(self, visit: Visit) -> None:
        if visit.on_end is not None:
            visit.on_end()
        if visit.guarded:
            self._metrics.visited(visit.status or 0, visit.outcome, visit.solving)
        level = logging.INFO if visit.path.startswith("/v1/") else logging.DEBUG
        _log.log(
            level,
            "request",
            method=visit.method,
            path=visit.path,
            status=visit.status,
            outcome=visit.outcome,
            seconds=round(visit.seconds, 4),
            key=visit.key,
            **visit.said,
            **_account(visit),
            **_answers(visit, told=self._log_texts),
        )


def _noting(visit: Visit, send: Send) -> Send:
    """`send`, which notes the status and adds the request's id to the response."""

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            visit.status = message["status"]
            request_id = (b"x-request-id", visit.request_id.encode())
            message["headers"] = [*message.get("headers", ()), request_id]
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            visit.complete = True

    return noted


def _account(visit: Visit) -> Mapping[str, Any]:
    if visit.solving is None:
        return {}
    accounts = visit.solving.accounts
    results = [account.result for account in accounts]
    return {
        "queue_s": round(visit.solving.queue_s, 4),
        "overhead_s": round(visit.solving.overhead_s, 4),
        "steps": sum(len(result.steps) for result in results),
        "drafts": sum(result.drafts for result in results),
        "accepted": sum(result.accepted for result in results),
        "prompt_tokens": max(account.prompt_tokens for account in accounts),
        "completion_tokens": sum(account.completion_tokens for account in accounts),
        "degraded": any(result.degraded is not None for result in results),
    }


def _answers(visit: Visit, *, told: bool) -> Mapping[str, Any]:
    if visit.solving is None or not told:
        return {}
    return {"answers": [account.result.answer_text for account in visit.solving.accounts]}


def error_response(told: Answered) -> JSONResponse:
    """An error as a response."""
    return JSONResponse(told.json, told.status, dict(told.headers))


async def our_error(request: Request, error: Exception) -> JSONResponse:
    """The exception handler of errors on purpose, and of bugs."""
    told = answered(error)
    visit_of(request).outcome = told.body.error.code or "error"
    return error_response(told)
