"""From what went wrong to what a client is told: one status, one OpenAI error body."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from specreason.errors import (
    ConfigError,
    ContextOverflow,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    InputError,
    SpecReasonError,
)
from specreason.server.replies import ErrorBody, ErrorReply
from specreason.server.wire import ChatRequest, InputMessage, Knobs, StreamOptions, neutral_fields

_TRY_AGAIN_S = 5
_LONGEST_NAME = 100  # characters of a client's own that are repeated to it
# The first that fits counts, so the narrower kinds stand first.
_TOLD: Mapping[type[Exception], tuple[int, str | None, str]] = {
    ContextOverflow: (400, "messages", "context_length_exceeded"),
    InputError: (400, "messages", "invalid_messages"),
    ConfigError: (400, "messages", "unusable_conversation"),
    EngineTimeout: (504, None, "engine_timeout"),
    EngineUnavailable: (503, None, "engine_unavailable"),
    EngineError: (502, None, "engine_rejected"),
    TimeoutError: (504, None, "request_timeout"),
}


class Refused(SpecReasonError):
    """A request that is not served. `status`, `code` and `param` go to the client with the message."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers: Mapping[str, str] = headers or {}


@dataclass(frozen=True, slots=True)
class Answered:
    """An error as it goes out."""

    status: int
    body: ErrorReply
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def json(self) -> dict[str, Any]:
        """The body for a JSON encoder."""
        return self.body.model_dump()


def answered(error: Exception) -> Answered:
    """What the client is told about `error`. Errors that are not ours tell nothing of themselves."""
    if isinstance(error, Refused):
        return _answer(error.status, str(error), error.param, error.code, error.headers)
    for kind, (status, param, code) in _TOLD.items():
        if isinstance(error, kind):
            later = {"Retry-After": str(_TRY_AGAIN_S)} if status in {503, 504} else {}
            message = str(error) or "the request took longer than 'server.request_timeout'"
            return _answer(status, message, param, code, later)
    return _answer(500, "internal error; the server's log says more", None, "internal_error")


def from_status(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Answered:
    """An error of the HTTP layer: unknown path, wrong method, body too large."""
    code = HTTPStatus(status).name.lower()
    return _answer(status, detail, None, code, headers or {})


def from_validation(problems: Sequence[Mapping[str, Any]]) -> Answered:
    """A body that is not what the schema says: the first problem, by the name of its field."""
    worst = max(problems, key=_weight)
    path = [str(part) for part in worst["loc"] if part != "body"]
    if worst["type"] == "json_invalid":
        return _answer(400, f"the body is not valid JSON: {worst['ctx']['error']}", None, "invalid_json")
    names = [part for part in path if part in _FIELDS or part.isdecimal()]
    if worst["type"] == "extra_forbidden":
        name = ".".join([*(part for part in names if part != path[-1]), path[-1]])[:_LONGEST_NAME]
        return _answer(400, f"unknown field '{name}'; {_nearest(path)}", name, "unknown_field")
    param = ".".join(names)
    if names and names[-1] in neutral_fields():
        message = f"'{param}' is not supported by this server; leave it out"
        return _answer(400, message, param, "unsupported_field")
    if not param:
        message = "the body must be a JSON object (Content-Type: application/json)"
        return _answer(400, message, None, "invalid_body")
    told = str(worst["msg"]).replace("Input should", "it must").removeprefix("Value error, ")
    if worst["type"] == "missing":
        return _answer(400, f"'{param}' is missing", param, "missing_field")
    return _answer(400, f"'{param}': {told}", param, "invalid_value")


_FIELDS = frozenset(
    name for model in (ChatRequest, InputMessage, StreamOptions, Knobs) for name in model.model_fields
) | {"text", "type"}


def _weight(problem: Mapping[str, Any]) -> int:
    # Of a union's branches the one that went furthest tells best what is wrong.
    return len(problem["loc"])


def _nearest(path: Sequence[str]) -> str:
    """A hint for a misspelt field, from the names of the object that it stands in."""
    parents: Mapping[str, type[Any]] = {
        "messages": InputMessage,
        "stream_options": StreamOptions,
        "specreason": Knobs,
    }
    place = parents.get(path[0], ChatRequest) if len(path) > 1 else ChatRequest
    names = list(place.model_fields)
    close = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else "it is no field of this API (docs/api.md)"


def _answer(
    status: int,
    message: str,
    param: str | None,
    code: str | None,
    headers: Mapping[str, str] | None = None,
) -> Answered:
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    body = ErrorReply(error=ErrorBody(message=message, type=kind, param=param, code=code))
    return Answered(status, body, headers or {})
