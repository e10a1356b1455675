"""What one running server holds together; every request finds it in the application's state."""

from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.trace import Tracer
from starlette.requests import Request

from specreason.config import ServerSettings
from specreason.engines.protocol import Engine
from specreason.reasoning.chain import Role
from specreason.server.admission import Admission
from specreason.server.asking import Offer
from specreason.server.closing import Closing
from specreason.server.metrics import Metrics
from specreason.session import SpecReason


@dataclass(frozen=True, slots=True)
class House:
    """The connected pair, what is on offer, and the turns."""

    session: SpecReason
    offers: Mapping[str, Offer]
    admission: Admission
    closing: Closing
    metrics: Metrics
    tracer: Tracer
    created: int

    @property
    def settings(self) -> ServerSettings:
        """The server's settings."""
        return self.session.settings.server

    @property
    def engines(self) -> Mapping[Role, Engine]:
        """The connected models."""
        return self.session.engines


def house_of(request: Request) -> House:
    """The house that `request` came to."""
    house: House = request.app.state.house
    return house
