"""Models, health checks, metrics, version."""

import asyncio
from importlib.metadata import version
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from specreason.engines.names import EngineName
from specreason.errors import SpecReasonError
from specreason.server.errors import Refused
from specreason.server.openapi import refusals
from specreason.server.replies import Reply
from specreason.server.request import Offer
from specreason.server.state import ServerState, state_of

_PROBE_TIMEOUT_S = 2.0
_VERSION = version("specreason")

router = APIRouter()


class ModelCard(Reply):
    """A model that requests can name. `specreason` says which scheme and models it uses.

    `root`: the model that answers. `max_model_len`: tokens that conversation, thinking and answer share.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["specreason"] = "specreason"
    root: str
    parent: None = None
    max_model_len: int
    permission: list[Any] = Field(default_factory=list[Any])
    specreason: dict[str, Any]


class ModelList(Reply):
    """The available models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Health(Reply):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Reply):
    """Whether requests are accepted. Engines: `ok`, or what is wrong."""

    status: Literal["ready", "degraded", "unavailable", "stopping"]
    engines: dict[EngineName, str]
    running: int
    waiting: int


class Version(Reply):
    """The installed version."""

    version: str


@router.get("/v1/models", responses=refusals(401, 403))
async def models(request: Request) -> ModelList:
    """The models that requests can name."""
    state = state_of(request)
    return ModelList(data=[_card(state, offer) for offer in state.offers.values()])


@router.get("/v1/models/{name:path}", responses=refusals(401, 403, 404))
async def model(request: Request, name: str) -> ModelCard:
    """One model."""
    state = state_of(request)
    if not name:
        raise HTTPException(404)  # a stray slash, not a model
    if name not in state.offers:
        raise Refused(
            f"no such model; available: {', '.join(state.offers)}",
            status=404,
            param="model",
            code="model_not_found",
        )
    return _card(state, state.offers[name])


@router.get("/health")
async def health() -> Health:
    """The process answers. Says nothing about the models: see /ready."""
    return Health()


@router.get("/ready", responses={503: {"model": Readiness, "description": "No requests are accepted."}})
async def ready(request: Request) -> Response:
    """Whether requests are accepted: 200 if the base model answers, 503 if not or if the server stops."""
    state = state_of(request)
    found = await asyncio.gather(*(_state(state, name) for name in state.engines))
    engines = dict(zip(state.engines, found, strict=True))
    if state.shutdown.started:
        status = "stopping"
    elif engines.get("base", "ok") != "ok":
        status = "unavailable"
    else:
        status = "ready" if all(state == "ok" for state in found) else "degraded"
    body = Readiness(
        status=status, engines=engines, running=state.admission.running, waiting=state.admission.waiting
    )
    return JSONResponse(body.model_dump(), 200 if status in {"ready", "degraded"} else 503)


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}, **refusals(401, 403)})
async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(state_of(request).metrics.page(), media_type=CONTENT_TYPE_LATEST)


@router.get("/version")
async def installed_version() -> Version:
    """The installed version."""
    return Version(version=_VERSION)


# Load balancers send HEAD. Not in the OpenAPI document: HTTP has it for every GET.
for _path, _endpoint in (
    ("/health", health),
    ("/ready", ready),
    ("/version", installed_version),
    ("/v1/models", models),
):
    router.add_api_route(_path, _endpoint, methods=["HEAD"], include_in_schema=False)


def _card(state: ServerState, offer: Offer) -> ModelCard:
    about = {"scheme": str(offer.scheme), "models": dict(offer.models)}
    root = offer.models.get("base") or next(iter(offer.models.values()))
    return ModelCard(
        id=offer.name, created=state.created, root=root, max_model_len=offer.context, specreason=about
    )


async def _state(state: ServerState, name: EngineName) -> str:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            await state.engines[name].tokenize("ready?")
    except TimeoutError:
        return f"silent for {_PROBE_TIMEOUT_S:g} s"
    except SpecReasonError as error:
        return type(error).__name__  # the message names addresses, which clients must not see
    return "ok"
