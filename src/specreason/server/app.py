"""The application: one connected pair behind the routes."""

import time
from importlib.metadata import version

from fastapi import Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from opentelemetry.trace import Tracer
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from specreason.config import Settings
from specreason.engines.kinds import in_process
from specreason.errors import SpecReasonError
from specreason.server.admission import Admission
from specreason.server.auth import Keys
from specreason.server.chat import router as chat
from specreason.server.entrance import has_two_lengths
from specreason.server.errors import from_http
from specreason.server.metrics import Metrics
from specreason.server.middleware import RequestMiddleware, error_response, our_error
from specreason.server.openapi import document
from specreason.server.record import record_of
from specreason.server.request import offers
from specreason.server.responses import router as responses
from specreason.server.routes import router as routes
from specreason.server.shutdown import Shutdown
from specreason.server.state import ServerState
from specreason.session import SpecReason

_UNBOUNDED_CONCURRENCY = 64
# FastAPI's own spans would double ours, and its logs hold request bodies.
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def build(state: ServerState) -> ASGIApp:
    """The server as an ASGI application around a connected pair."""
    settings = state.settings
    app = FastAPIOffline(
        title="specreason",
        version=version("specreason"),
        description="Speculative reasoning behind the OpenAI chat API.",
        redoc_url=None,
        redirect_slashes=False,  # clients lose the body of a POST when they follow a redirect
        telemetry=_NO_TELEMETRY,
        exception_handlers={
            SpecReasonError: our_error,
            TimeoutError: our_error,
            Exception: our_error,
            HTTPException: _http_error,
        },
    )
    app.state.state = state
    app.openapi = lambda: document(app, list(state.offers))
    app.include_router(chat)
    app.include_router(responses)
    app.include_router(routes)
    front = RequestMiddleware(app, state)
    if not settings.cors_origins:
        return front
    # Outermost: browsers send preflight requests without a key.
    cors = CORSMiddleware(
        front,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["x-request-id", "x-specreason-overhead-ms", "x-specreason-queue-ms"],
    )

    async def outermost(scope: Scope, receive: Receive, send: Send) -> None:
        # `cors` answers preflight requests itself, so they would not reach the length check.
        refused = scope["type"] == "http" and has_two_lengths(scope["headers"])
        await (front if refused else cors)(scope, receive, send)

    return outermost


def slots_for(settings: Settings) -> int:
    """How many problems are solved at once: the setting, or the slots of the embedded models."""
    if settings.server.concurrency is not None:
        return settings.server.concurrency
    sections = {"base": settings.base, "small": settings.small}
    embedded = [section.parallel for name, section in sections.items() if in_process(name, section)]
    return min(embedded, default=_UNBOUNDED_CONCURRENCY)


def state_for(session: SpecReason, shutdown: Shutdown, tracer: Tracer, keys: Keys) -> ServerState:
    """The state of a server around a connected pair."""
    settings, metrics = session.settings, Metrics()
    admission = Admission(settings.server, slots_for(settings))
    metrics.gauge("running", "Problems being solved", lambda: admission.running)
    metrics.gauge("queue_depth", "Problems that wait in the queue", lambda: admission.waiting)
    return ServerState(
        session=session,
        offers=offers(session.pair.engines, settings.reasoning.scheme, decoder=session.pair.decoder),
        admission=admission,
        shutdown=shutdown,
        metrics=metrics,
        tracer=tracer,
        keys=keys,
        created=int(time.time()),
    )


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    response = from_http(request.method, request.url.path, error)
    record_of(request).outcome = response.body.error.code
    return error_response(response)
