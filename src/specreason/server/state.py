"""What one running server holds together; every request finds it in the application's state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import Tracer
from starlette.requests import Request

from specreason.config import ServerSettings
from specreason.engines.opening import EngineName
from specreason.engines.protocol import Engine
from specreason.server.admission import Admission
from specreason.server.auth import Keys
from specreason.server.metrics import Metrics
from specreason.server.request import Offer
from specreason.server.shutdown import Shutdown
from specreason.session import SpecReason


@dataclass(frozen=True, slots=True)
class ServerState:
    """The connected pair, what is on offer, and the turns."""

    session: SpecReason
    offers: Mapping[str, Offer]
    admission: Admission
    shutdown: Shutdown
    metrics: Metrics
    tracer: Tracer
    keys: Keys
    created: int
    connections: set[Any] = field(default_factory=set[Any])  # uvicorn's, which has no one type for them

    @property
    def settings(self) -> ServerSettings:
        """The server's settings."""
        return self.session.settings.server

    @property
    def engines(self) -> Mapping[EngineName, Engine]:
        """The connected engines."""
        return self.session.seated


def state_of(request: Request) -> ServerState:
    """The state that `request` came to."""
    state: ServerState = request.app.state.state
    return state
