"""A small completions server on loopback that answers well until it is told to misbehave."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Body = Mapping[str, Any]


@dataclass(slots=True)
class Exchange:
    """One request and the way to answer it."""

    server: "FakeServer"
    path: str
    headers: Mapping[str, str]
    body: Body
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self, status: int, kind: str, extra: Mapping[str, str] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} Status", f"Content-Type: {kind}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
        await self.raw("\r\n".join([*lines, "", ""]))

    async def raw(self, text: str | bytes) -> None:
        self.writer.write(text if isinstance(text, bytes) else text.encode())
        await self.writer.drain()

    async def event(self, chunk: Body) -> None:
        await self.raw(f"data: {json.dumps(chunk)}\n\n")

    async def until_client_leaves(self) -> None:
        while await self.reader.read(1024):
            pass
        self.server.client_left.set()


Behaviour = Callable[[Exchange], Awaitable[None]]


@dataclass
class FakeServer:
    """`next` holds how the next completions are answered, `always` how all others are."""

    owner: str = "someone"
    models: Sequence[str] = ("fake-model",)
    listing: Behaviour | None = None
    others: Mapping[str, Behaviour] = field(default_factory=dict[str, Behaviour])  # by path
    next: list[Behaviour] = field(default_factory=list[Behaviour])
    always: Behaviour | None = None
    completions: list[Body] = field(default_factory=list[Body])
    keys: set[str] = field(default_factory=set[str])
    client_left: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)  # for a completion
    headers: list[Mapping[str, str]] = field(default_factory=list[Mapping[str, str]])  # of all requests
    context: int = 512  # tokens
    running: int = 0  # completions being written
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            data = await reader.readexactly(int(headers.get("content-length", "0")))
            self.keys.add(headers.get("authorization", ""))
            self.headers.append(headers)
            body: Body = json.loads(data) if data else {}
            await self._answer(Exchange(self, first.split(" ")[1], headers, body, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.client_left.set()
        finally:
            writer.close()

    async def _answer(self, exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0]
        if (other := self.others.get(path)) is not None:
            await other(exchange)
        elif path == "/v1/models":
            await (self.listing or self._list)(exchange)
        elif path == "/tokenize" and self.owner == "vllm":
            await send_json({"tokens": list(exchange.body["prompt"].encode())})(exchange)
        elif path == "/v1/completions":
            self.completions.append(exchange.body)
            self.asked.set()
            behaviour = self.next.pop(0) if self.next else self.always or said("one", " two")
            self.running += 1
            try:
                await behaviour(exchange)
            finally:
                self.running -= 1
        elif path == "/metrics" and self.owner == "vllm":
            await send(f"vllm:num_requests_running{{}} {self.running}\n", kind="text/plain")(exchange)
        else:
            await send_json({"error": {"message": "Not Found"}}, status=404)(exchange)

    async def _list(self, exchange: Exchange) -> None:
        data = [{"id": m, "owned_by": self.owner, "max_model_len": self.context} for m in self.models]
        await send_json({"object": "list", "data": data})(exchange)


def chunk(text: str, finish: str | None = None) -> Body:
    """One streamed piece."""
    return {"choices": [{"text": text, "finish_reason": finish, "token_ids": list(text.encode())}]}


def said(*texts: str) -> Behaviour:
    """A whole stream, as it should be."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(200, "text/event-stream")
        for text in texts:
            await exchange.event(chunk(text))
        await exchange.event(chunk("", "stop"))
        usage = {"prompt_tokens": len(exchange.body["prompt"]), "completion_tokens": len(texts)}
        await exchange.event({"choices": [], "usage": usage})
        await exchange.raw("data: [DONE]\n\n")

    return behave


def breaks_off(*texts: str, then: str = "") -> Behaviour:
    """A stream that ends after `texts` and the raw bytes of `then`, without a finish reason."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(200, "text/event-stream")
        for text in texts:
            await exchange.event(chunk(text))
        await exchange.raw(then)

    return behave


def cut_short(*texts: str) -> Behaviour:
    """A chunked reply whose connection breaks in the middle of a chunk."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(200, "text/event-stream", {"Transfer-Encoding": "chunked"})
        for text in texts:
            event = f"data: {json.dumps(chunk(text))}\n\n"
            await exchange.raw(f"{len(event):x}\r\n{event}\r\n")
        await exchange.raw("400\r\ndata: {")

    return behave


def hangs(*texts: str) -> Behaviour:
    """Silence after `texts`, or before the reply's head if there are none."""

    async def behave(exchange: Exchange) -> None:
        if texts:
            await exchange.head(200, "text/event-stream")
        for text in texts:
            await exchange.event(chunk(text))
        await exchange.until_client_leaves()

    return behave


def send_json(reply: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Behaviour:
    """A JSON reply."""
    return send(json.dumps(reply), status=status, kind="application/json", headers=headers)


def send(
    text: str, *, status: int = 200, kind: str = "text/html", headers: Mapping[str, str] | None = None
) -> Behaviour:
    """A plain reply."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(status, kind, {"Content-Length": str(len(text.encode())), **(headers or {})})
        await exchange.raw(text)

    return behave


def refusing(field: str, message: str, then: Behaviour | None = None) -> Behaviour:
    """Refuses requests that have a field, as servers refuse what they do not know."""

    async def behave(exchange: Exchange) -> None:
        refusal = send_json({"error": {"message": message, "code": 400}}, status=400)
        await (refusal if field in exchange.body else then or said("one", " two"))(exchange)

    return behave


@asynccontextmanager
async def serving(fake: FakeServer, tls: ssl.SSLContext | None = None) -> AsyncGenerator[FakeServer]:
    """Serve on a free port of loopback; `fake.url` tells where."""
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    fake.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"
    try:
        yield fake
    finally:
        server.close()
