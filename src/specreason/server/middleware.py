"""What every request passes first: id, checks, log line. Plain ASGI, so that disconnects get through."""

import logging
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from specreason.server.connections import arriving, cut
from specreason.server.entrance import check_host, check_length, hosts_for
from specreason.server.errors import ErrorResponse, Refused, response_to
from specreason.server.record import RequestRecord, open_record, record_of
from specreason.server.state import ServerState
from specreason.server.streaming import ClientGone

_CLOSED_BY_CLIENT = 499  # as nginx logs it; no client gets it
_log = structlog.get_logger("specreason.server")


class RequestMiddleware:
    """Gives each request an id, checks its key, and records in log and metrics how it ended."""

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app = app
        self._state = state
        self._hosts = hosts_for(state.settings, state.keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = open_record(scope)
        with structlog.contextvars.bound_contextvars(request_id=record.request_id):
            try:
                await self._served(record, scope, receive, _noting(record, send))
            finally:
                self._report(record)

    async def _served(self, record: RequestRecord, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_length(scope["headers"])
            check_host(scope["headers"], self._hosts)
            if record.guarded:
                record.key = self._state.keys.holder(dict(scope["headers"]))
            settings, shutdown = self._state.settings, self._state.shutdown
            await self._app(scope, arriving(receive, settings.body_timeout, shutdown), send)
        except Refused as refusal:
            record.outcome = refusal.code
            await error_response(response_to(refusal))(scope, receive, send)
        except ClientGone:
            record.status, record.outcome = _CLOSED_BY_CLIENT, "client_gone"
            if not record.complete:
                await cut(self._state.connections, scope, receive)
        except Exception:
            record.outcome = "internal_error"
            _log.exception("internal error")
            if not record.complete:
                raise  # uvicorn closes the connection, so that the client does not wait for the rest

    def _report(self, record: RequestRecord) -> None:
        if record.on_end is not None:
            record.on_end()
        if record.guarded:
            self._state.metrics.visited(record.status or 0, record.outcome, record.solving)
        level = logging.INFO if record.path.startswith("/v1/") else logging.DEBUG
        _log.log(
            level,
            "request",
            method=record.method,
            path=record.path,
            status=record.status,
            outcome=record.outcome,
            seconds=round(record.seconds, 4),
            key=record.key,
            **record.log_fields,
            **_account(record),
            **(_answers(record) if self._state.settings.log_prompts else {}),
        )


def _noting(record: RequestRecord, send: Send) -> Send:
    """`send`, which notes the status and adds the request's id to the response."""

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            record.status = message["status"]
            request_id = (b"x-request-id", record.request_id.encode())
            message["headers"] = [*message.get("headers", ()), request_id]
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            record.complete = True

    return noted


def _account(record: RequestRecord) -> Mapping[str, Any]:
    if record.solving is None:
        return {}
    accounts = record.solving.accounts
    results = [account.result for account in accounts]
    faults = [fault for account in accounts for fault in account.faults]
    return {
        "queue_s": round(record.solving.queue_s, 4),
        "overhead_s": round(record.solving.overhead_s, 4),
        "steps": sum(len(result.steps) for result in results),
        "drafts": sum(result.drafts for result in results),
        "accepted": sum(result.accepted for result in results),
        "prompt_tokens": max(account.prompt_tokens for account in accounts),
        "completion_tokens": sum(account.completion_tokens for account in accounts),
        "degraded": any(result.degraded is not None for result in results),
        **({"faults": faults} if faults else {}),
    }


def _answers(record: RequestRecord) -> Mapping[str, Any]:
    if record.solving is None:
        return {}
    return {"answers": [account.result.answer_text for account in record.solving.accounts]}


def error_response(error: ErrorResponse) -> JSONResponse:
    """An error as a response."""
    return JSONResponse(error.json, error.status, dict(error.headers))


async def our_error(request: Request, error: Exception) -> JSONResponse:
    """The exception handler of our own errors, and of bugs."""
    response = response_to(error)
    record_of(request).failed(error, response.body.error.code)
    return error_response(response)
