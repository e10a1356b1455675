"""One request while it is served: its id, its key, how it ended, and what the log says of it."""

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.types import Scope

from specreason.errors import SpecReasonError
from specreason.server.auth import ANYONE
from specreason.server.choices import Solving

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_STATE = "record"


@dataclass(slots=True)
class RequestRecord:
    """What is known of one request. `outcome`: `ok`, `client_gone`, or the code of the error."""

    request_id: str
    method: str
    path: str
    key: str = ANYONE
    status: int | None = None
    complete: bool = False
    outcome: str = "ok"
    solving: Solving | None = None
    on_end: Callable[[], None] | None = None
    log_fields: dict[str, Any] = field(default_factory=dict[str, Any])
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds since the request came in."""
        return time.perf_counter() - self.began

    def failed(self, error: Exception, outcome: str) -> None:
        """Note the error and, for the log only, its message."""
        self.outcome = outcome
        if isinstance(error, SpecReasonError):
            self.log_fields["error"] = str(error)

    @property
    def guarded(self) -> bool:
        """Whether the request needs a key."""
        return self.path.startswith("/v1/") or self.path == "/metrics"


def open_record(scope: Scope) -> RequestRecord:
    """The record of a new request, under the client's request id if that one is valid."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    request_id = given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    record = RequestRecord(request_id, scope["method"], scope["path"][:200])
    scope.setdefault("state", {})[_STATE] = record
    return record


def record_of(request: Request) -> RequestRecord:
    """The record of `request`."""
    record: RequestRecord = getattr(request.state, _STATE)
    return record
