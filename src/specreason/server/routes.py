"""Everything but the chat: what is on offer, whether it works, what it has done."""

import asyncio
from importlib.metadata import version

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import Response

from specreason.engines.opening import EngineName
from specreason.errors import SpecReasonError
from specreason.server.errors import Refused
from specreason.server.openapi import refusals
from specreason.server.replies import Health, ModelCard, ModelList, Readiness, Version
from specreason.server.request import Offer
from specreason.server.state import ServerState, state_of

_PATIENCE_S = 2.0
_VERSION = version("specreason")

router = APIRouter()


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
            f"no such model here; there are: {', '.join(state.offers)}",
            status=404,
            param="model",
            code="model_not_found",
        )
    return _card(state, state.offers[name])


@router.get("/health")
async def health() -> Health:
    """The process lives. Says nothing about the models: see /ready."""
    return Health()


@router.get("/ready", responses={503: {"model": Readiness, "description": "No requests can be taken."}})
async def ready(request: Request) -> Response:
    """Whether requests can be taken: 200 if the base model answers, 503 if not or if the server stops."""
    state = state_of(request)
    told = await asyncio.gather(*(_state(state, seat) for seat in state.engines))
    engines = dict(zip(state.engines, told, strict=True))
    if state.shutdown.begun:
        status = "stopping"
    elif engines.get("base", "ok") != "ok":
        status = "unavailable"
    else:
        status = "ready" if all(state == "ok" for state in told) else "degraded"
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


# Load balancers like to ask without wanting to read. Not in the document: it is what HTTP says of any GET.
for _path, _told in (
    ("/health", health),
    ("/ready", ready),
    ("/version", installed_version),
    ("/v1/models", models),
):
    router.add_api_route(_path, _told, methods=["HEAD"], include_in_schema=False)


def _card(state: ServerState, offer: Offer) -> ModelCard:
    about = {"scheme": offer.scheme, "models": dict(offer.models)}
    root = offer.models.get("base") or next(iter(offer.models.values()))
    return ModelCard(
        id=offer.name, created=state.created, root=root, max_model_len=offer.context, specreason=about
    )


async def _state(state: ServerState, seat: EngineName) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await state.engines[seat].tokenize("ready?")
    except TimeoutError:
        return f"silent for {_PATIENCE_S:g} s"
    except SpecReasonError as error:
        return type(error).__name__  # the message names addresses, which are not everyone's business
    return "ok"
