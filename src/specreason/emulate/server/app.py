"""The HTTP side of one emulated model: the routes of an OpenAI-compatible server, as vLLM answers them."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from specreason.emulate.server.connection import Stream, while_connected
from specreason.emulate.server.metrics import page, registry_of
from specreason.emulate.server.model import CONTEXT, Account, Model, Token
from specreason.emulate.server.replies import Json, Shape, failure
from specreason.emulate.server.wire import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    Message,
    TokenizeRequest,
    rendered,
)
from specreason.emulate.tokens import decode, encode


class _Refused(Exception):
    """A request that cannot be served; the message says why."""


def build(model: Model) -> FastAPI:
    """The application that serves `model`."""
    app = FastAPI(
        title=f"specreason: emulation of {model.worker.timing.model}",
        docs_url=None,
        redoc_url=None,
        exception_handlers={RequestValidationError: _invalid, _Refused: _refused},
    )
    fingerprint = f"emulation:{model.hardware.profile.name}:{model.role}"
    _add_facts(app, model, fingerprint)

    @app.post("/v1/completions")
    async def completions(asked: CompletionRequest, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        prompts = _prompts(asked.prompt)
        shape = Shape(model.name, False, asked.logprobs, asked, fingerprint)
        return await _answered(model, shape, prompts, asked.max_tokens, request)

    @app.post("/v1/chat/completions")
    async def chat(asked: ChatRequest, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        prompt = encode(_conversation(asked, asked.messages))
        limit = asked.max_completion_tokens or asked.max_tokens or max(1, CONTEXT - len(prompt))
        shape = Shape(model.name, True, asked.top_logprobs if asked.logprobs else None, asked, fingerprint)
        return await _answered(model, shape, [prompt], limit, request)

    return app


def _add_facts(app: FastAPI, model: Model, fingerprint: str) -> None:
    """The routes that cost no emulated time: health, metrics, models, tokens of a text."""
    registry = registry_of(model)

    @app.get("/health")
    async def health() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response()

    @app.get("/metrics")
    async def metrics() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response(page(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models")
    async def models() -> Json:  # pyright: ignore[reportUnusedFunction]
        # Clients know vLLM by its name here; the id says what this really is.
        entry = {"id": model.name, "object": "model", "owned_by": "vllm", "max_model_len": CONTEXT}
        return {"object": "list", "data": [entry | {"emulation": fingerprint}]}

    @app.post("/tokenize")
    async def tokenize(asked: TokenizeRequest) -> Json:  # pyright: ignore[reportUnusedFunction]
        text = asked.prompt or ""
        if asked.messages is not None:
            text = _conversation(asked, asked.messages)
        ids = encode(text)
        return {"tokens": ids, "count": len(ids), "max_model_len": CONTEXT}

    @app.post("/detokenize")
    async def detokenize(asked: DetokenizeRequest) -> Json:  # pyright: ignore[reportUnusedFunction]
        return {"prompt": _decoded(asked.tokens)}


async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    said = "; ".join(f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors())
    return JSONResponse(failure(400, said), 400)


async def _refused(_: Request, error: _Refused) -> JSONResponse:
    return JSONResponse(failure(400, str(error)), 400)


async def _answered(
    model: Model, shape: Shape, prompts: Sequence[Sequence[int]], max_tokens: int, request: Request
) -> Response:
    asked, account = shape.request, Account()
    if asked.model not in {None, model.name}:
        return JSONResponse(failure(404, f"the model '{asked.model}' is not served here"), 404)
    longest = max(map(len, prompts))
    if longest >= CONTEXT:
        raise _Refused(f"the maximum context length is {CONTEXT} tokens; the prompt has {longest}")
    for prompt in prompts:
        _decoded(prompt)  # before a stream starts, so that its refusal has a status
    written = model.write(
        prompts,
        choices=asked.n,
        seed=asked.seed,
        max_tokens=min(max_tokens, CONTEXT - longest),
        stop=asked.stops,
        account=account,
    )
    if asked.stream:
        return Stream(_frames(written, shape, prompts, account))
    choices = await while_connected(_gathered(written), request.receive)
    return JSONResponse(shape.whole(choices, prompts, account)) if choices else Response(status_code=499)


async def _frames(
    written: AsyncGenerator[Token, None], shape: Shape, prompts: Sequence[Sequence[int]], account: Account
) -> AsyncGenerator[bytes, None]:
    started: set[int] = set()
    async with aclosing(written) as tokens:
        async for token in tokens:
            prompt = None if token.choice in started else prompts[token.choice // shape.request.n]
            started.add(token.choice)
            yield _frame(shape.chunk(token, prompt))
    if shape.request.tells_usage:
        yield _frame(shape.closing(account))
    yield b"data: [DONE]\n\n"


async def _gathered(written: AsyncGenerator[Token, None]) -> dict[int, list[Token]]:
    choices: dict[int, list[Token]] = {}
    async with aclosing(written) as tokens:
        async for token in tokens:
            choices.setdefault(token.choice, []).append(token)
    return choices


def _frame(chunk: Json) -> bytes:
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _conversation(asked: ChatRequest | TokenizeRequest, messages: Sequence[Message]) -> str:
    if asked.continue_final_message and asked.add_generation_prompt:
        raise _Refused("'continue_final_message' needs 'add_generation_prompt': false")
    return rendered(messages, opened=asked.add_generation_prompt, continued=asked.continue_final_message)


def _decoded(ids: Sequence[int]) -> str:
    try:
        return decode(ids)
    except ValueError as error:
        raise _Refused(str(error)) from None


def _prompts(prompt: str | list[int] | list[str] | list[list[int]]) -> list[list[int]]:
    if isinstance(prompt, str):
        return [encode(prompt)]
    if not prompt:
        raise _Refused("'prompt' is empty; give a text or token ids")
    if isinstance(prompt[0], int):
        return [cast("list[int]", prompt)]
    parts = cast("list[Any]", prompt)
    return [encode(part) if isinstance(part, str) else part for part in parts]
