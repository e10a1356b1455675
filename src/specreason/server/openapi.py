"""The parts of the OpenAPI document that FastAPI cannot read from the routes."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from specreason.server.replies import ChatReply, Chunk, ErrorReply
from specreason.server.responses_wire import ResponsesRequest
from specreason.server.wire import ChatRequest

_REF = "#/components/schemas/{model}"


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(model=name)}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of error answers."""
    descriptions = {
        400: "The request cannot be used; `param` names the field.",
        401: "No API key, or an unknown one.",
        403: "The Host header is not an allowed name of this server.",
        404: "No such model.",
        405: "No such method.",
        408: "The body did not arrive in time.",
        413: "The body is larger than `server.max_request_bytes`.",
        415: "The body is not application/json.",
        429: "The queue is full; `Retry-After` says when to try again (seconds).",
        502: "A model server rejected the request.",
        503: "A model server does not answer, or this server is stopping.",
        504: "A model server, or the request, took too long.",
    }
    return {status: {"description": descriptions[status], "model": ErrorReply} for status in statuses}


def _solving(body: str, reply: dict[str, Any]) -> dict[str, Any]:
    """The documentation of a route that solves; `body` is the name of its model, `reply` a schema.

    The route reads the body itself (one parser, which rejects broken Unicode and limits depth), so FastAPI
    does not know its schema.
    """
    return {
        "response_model": None,
        "responses": {
            200: {
                "description": "The reply; with `stream: true` server-sent events, as OpenAI documents them.",
                "content": {
                    "application/json": {"schema": reply},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            },
            **refusals(400, 401, 403, 404, 408, 413, 415, 429, 502, 503, 504),
        },
        "openapi_extra": {
            "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
        },
    }


CHAT = _solving("ChatRequest", _ref("ChatReply"))
RESPONSES = _solving("ResponsesRequest", {"type": "object"})


def document(app: FastAPI, models: Sequence[str]) -> dict[str, Any]:
    """The OpenAPI document, made once; `models` are those that requests can name."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, routes=app.routes, description=app.description
        )
        _, ours = models_json_schema(
            [(ChatRequest, "validation"), (ResponsesRequest, "validation")], ref_template=_REF
        )
        _, theirs = models_json_schema(
            [(ChatReply, "serialization"), (Chunk, "serialization")], ref_template=_REF
        )
        components: dict[str, Any] = schema.setdefault("components", {})
        known: dict[str, Any] = components.setdefault("schemas", {})
        for definitions in (ours, theirs):
            known.update(definitions["$defs"])
        for name in ("ChatRequest", "ResponsesRequest"):
            known[name]["properties"]["model"] |= {"enum": [*models, None]}
        app.openapi_schema = schema
    return app.openapi_schema
