"""What clients get for an error: one status, one OpenAI error body."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException

from specreason.errors import (
    AnswerFormRejected,
    ConfigError,
    ContextOverflow,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    InputError,
    SpecReasonError,
)
from specreason.server.replies import ErrorBody, ErrorReply

TRY_AGAIN_S = 5
_LONGEST_PATH = 200  # characters of a request that an error message quotes
# The first match counts, so subclasses come before their bases.
_REPORTED: Mapping[type[Exception], tuple[int, str | None, str]] = {
    ContextOverflow: (400, "messages", "context_length_exceeded"),
    InputError: (400, "messages", "invalid_messages"),
    ConfigError: (400, "messages", "unusable_conversation"),
    AnswerFormRejected: (400, "response_format", "unsupported_form"),
    EngineTimeout: (504, None, "engine_timeout"),
    EngineUnavailable: (503, None, "engine_unavailable"),
    EngineError: (502, None, "engine_rejected"),
    TimeoutError: (504, None, "request_timeout"),
}

_PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/models")
_ENGINES_FAULT = {
    "context_length_exceeded": "the conversation does not fit into the context of {engine}; shorten it",
    "unsupported_form": "{engine}'s engine cannot produce the requested output format; simplify the schema",
    "engine_timeout": "{engine}'s server did not answer in time; try again later",
    "engine_unavailable": "{engine}'s server is unavailable; try again later",
    "engine_rejected": "{engine}'s server rejected the request; see the log of this server",
}


class Refused(SpecReasonError):
    """A request that is not served. `status`, `code` and `param` go to the client with the message."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 400,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers: Mapping[str, str] = headers or {}


def conflict(param: str, message: str) -> Refused:
    """Two fields of a request contradict each other; `param` is one of them."""
    return Refused(message, param=param, code="conflicting_fields")


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """The response to a request that failed."""

    status: int
    body: ErrorReply
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def json(self) -> dict[str, Any]:
        """The body for a JSON encoder."""
        return self.body.model_dump()


def response_to(error: Exception) -> ErrorResponse:
    """The response for `error`. Errors that are not ours become a 500 without details."""
    if isinstance(error, Refused):
        return _answer(error.status, str(error), error.param, error.code, error.headers)
    for kind, (status, param, code) in _REPORTED.items():
        if isinstance(error, kind):
            later = {"Retry-After": str(TRY_AGAIN_S)} if status in {503, 504} else {}
            return _answer(status, _message(error, code), param, code, later)
    return _answer(500, "internal error; see the server's log", None, "internal_error")


def _message(error: Exception, code: str) -> str:
    """The message for clients. Of an engine: only which one and how it failed, no address."""
    if code in _ENGINES_FAULT:
        engine = getattr(error, "engine", "")
        return _ENGINES_FAULT[code].format(engine=f"the {engine} model" if engine else "a model")
    return str(error) or "the request took longer than 'server.request_timeout'"


def from_http(method: str, path: str, error: HTTPException) -> ErrorResponse:
    """An error of the HTTP layer: an unknown path, or a method that the path does not have."""
    status, headers = error.status_code, error.headers or {}
    asked = f"{method} {path}"[:_LONGEST_PATH]
    message = error.detail
    if status == HTTPStatus.NOT_FOUND:
        hint = _hint(path)
        message = f"there is no {asked}; {hint}"[: 2 * _LONGEST_PATH]
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"there is no {asked}; the path takes {headers.get('Allow', 'other methods')}"
    return _answer(status, message, None, HTTPStatus(status).name.lower(), headers)


def _hint(path: str) -> str:
    bare = path.rstrip("/")
    if bare.endswith("/completions") and not bare.endswith("/chat/completions"):
        return "this server needs chat messages: use /v1/chat/completions (or /v1/responses)"
    if bare.endswith("/messages"):
        return "the Anthropic API is not supported: use /v1/chat/completions (or /v1/responses)"
    near = next((known for known in _PATHS if bare.endswith(known.removeprefix("/v1"))), bare)
    return f"did you mean {near}?" if near not in {"", path} else "GET /docs lists all paths"


def _answer(
    status: int,
    message: str,
    param: str | None,
    code: str,
    headers: Mapping[str, str] | None = None,
) -> ErrorResponse:
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    body = ErrorReply(error=ErrorBody(message=message, type=kind, param=param, code=code))
    return ErrorResponse(status, body, headers or {})
