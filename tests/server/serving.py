"""A real server on a loopback socket, around any pair of engines; and scripted pairs to put behind it."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from opentelemetry.trace import Tracer

from specreason import ServerSettings, Settings
from specreason.config.scheme import Role
from specreason.engines.protocol import Engine
from specreason.engines.scripted import ScriptedEngine
from specreason.server.run import Server, address, bound, opened

Json = dict[str, Any]
Pair = Mapping[Role, Engine]

SMALL = ("Two and two is 4.\n\n", "Twice that is 9.\n\n", "That is all.\n</think>")
BASE = ("Base adds to 4.\n\n", "Twice that is 8.\n\n", "Base is done.\n</think>")
ANSWER = "It is \\boxed{8}."
# The second draft is rejected, so the chain has both authors.
THINKING = "Two and two is 4.\n\nTwice that is 8.\n\nThat is all.\n"


def small(steps: Sequence[str] = SMALL, **script: Any) -> ScriptedEngine:
    script = {"answer": "Small says \\boxed{9}.", **script}
    return ScriptedEngine("small", steps=steps, **script)


def base(steps: Sequence[str] = BASE, **script: Any) -> ScriptedEngine:
    script = {"answer": ANSWER, "scores": {"is 9": "2"}, **script}
    return ScriptedEngine("base", steps=steps, **script)


def pair(
    of: ScriptedEngine | None = None, and_of: ScriptedEngine | None = None, /, **both: Any
) -> dict[Role, ScriptedEngine]:
    return {"base": of or base(**both), "small": and_of or small(**both)}


@dataclass
class Served:
    """A running server. `client` talks to it without retries or limits of time."""

    url: str
    server: Server
    client: httpx2.AsyncClient

    async def chat(self, **body: Any) -> httpx2.Response:
        return await self.client.post("/v1/chat/completions", json=asking(**body))

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for line in (await self.client.get("/metrics")).text.splitlines():
            head, _, value = line.rpartition(" ")
            wanted = all(f'{key}="{text}"' in head for key, text in labels.items())
            if head.partition("{")[0] == f"specreason_{name}" and wanted:
                total += float(value)
        return total


def asking(content: str = "What is twice two and two?", **body: Any) -> Json:
    return {"model": "specreason", "messages": [{"role": "user", "content": content}], **body}


@asynccontextmanager
async def served(
    engines: Pair | None = None,
    *,
    tracer: Tracer | None = None,
    decoder: Engine | None = None,
    **server: Any,
) -> AsyncGenerator[Served]:
    settings = Settings(server=ServerSettings.model_validate({"port": 0, **server}))
    async with serving(settings, engines or pair(), tracer, decoder) as running:
        yield running


@asynccontextmanager
async def served_with(sections: Json, **server: Any) -> AsyncGenerator[Served]:
    """A server that connects to the models that `sections` of the settings name."""
    async with serving(Settings.model_validate({**sections, "server": {"port": 0, **server}}), None) as state:
        yield state


@asynccontextmanager
async def serving(
    settings: Settings,
    engines: Pair | None,
    tracer: Tracer | None = None,
    decoder: Engine | None = None,
) -> AsyncGenerator[Served]:
    async with AsyncExitStack() as stack:
        door = stack.enter_context(bound(settings.server))
        server = await stack.enter_async_context(opened(settings, engines, tracer, decoder))
        url = address(door)
        client = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False)
        )
        task = asyncio.create_task(server.serve([door]))
        try:
            await until(lambda: server.started)
            yield Served(url, server, client)
        finally:
            server.should_exit = True
            await task


@contextmanager
def served_in_a_thread(engines: Pair | None, settings: Settings) -> Generator[str]:
    """The base URL of a server that runs beside blocking clients."""
    ready, ending = threading.Event(), threading.Event()
    told: list[Any] = []

    async def run() -> None:
        try:
            async with serving(settings, engines) as running:
                told.append(running.url)
                ready.set()
                await until(ending.is_set, within=3600)
        except BaseException as error:
            told.append(error)
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    ready.wait(120)
    try:
        assert told, "the server did not start"
        assert isinstance(told[0], str), told[0]
        yield told[0]
    finally:
        ending.set()
        thread.join(30)


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait for something to become true; fail if it does not (seconds)."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - conditions of all kinds, some of another thread
            await asyncio.sleep(0.005)
