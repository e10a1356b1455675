"""The emulated servers on sockets: a pair inside this process, or whatever the command line asks for."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import uvicorn

from specreason.emulate.hardware import Hardware
from specreason.emulate.profiles import PAPER, Profile
from specreason.emulate.script import Script
from specreason.emulate.server.app import build
from specreason.emulate.server.direct import DirectTransport
from specreason.emulate.server.model import Model
from specreason.emulate.speech import Role
from specreason.errors import ConfigError

_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Pair:
    """A running pair. `base` and `small` are the URLs of the two servers, `models` what is behind them."""

    base: str
    small: str
    models: Mapping[Role, Model]


def emulated_models(
    script: Script, profile: Profile, *, scale: float = 1.0, shared: bool = True
) -> dict[Role, Model]:
    """Both models, with one clock and, if `shared`, on one hardware. Put `direct` or a server before them.

    `scale` stretches every duration: 0.1 runs ten times as fast.
    """
    hardware = Hardware(profile, scale=checked_scale(scale), shared=shared)
    return {role: Model(role, script, hardware) for role in hardware.workers}


def direct(model: Model) -> DirectTransport:
    """The way to `model` without a socket, for clients in the same event loop; any URL will do."""
    return DirectTransport(build(model))


@asynccontextmanager
async def emulated_pair(
    script: Script, profile: Profile = PAPER, *, scale: float = 1.0, shared: bool = True
) -> AsyncGenerator[Pair]:
    """Both servers on free ports of loopback; see `emulated_models`."""
    models = emulated_models(script, profile, scale=scale, shared=shared)
    async with AsyncExitStack() as stack:
        urls = {
            role: await stack.enter_async_context(_served(model, listening("127.0.0.1", 0)))
            for role, model in models.items()
        }
        yield Pair(urls["base"], urls["small"], models)


async def serve(models: Mapping[int, Model], host: str) -> None:
    """Serve each model on its port until a signal ends the process."""
    async with AsyncExitStack() as stack:
        doors = [(listening(host, port), model) for port, model in models.items()]
        for door, model in doors:
            url = await stack.enter_async_context(_served(model, door))
            print(f"emulation of {model.role} ({model.name}): {url}", flush=True)
        await asyncio.Event().wait()


def listening(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError if the port cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        door = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; change 'host' or 'port'"
        ) from None
    # Its protocol named: else asyncio leaves Nagle's algorithm on, which delays replies by 40 ms.
    return socket.socket(door.family, door.type, socket.IPPROTO_TCP, fileno=door.detach())


def checked_scale(scale: float) -> float:
    """`scale`. Raises ConfigError if no clock can run at it."""
    if not 0 < scale <= 1000:
        raise ConfigError(f"'scale' is {scale:g}; give a number above 0 and up to 1000 (1 is real time)")
    return scale


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: whoever runs it ends it."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def _served(model: Model, door: socket.socket) -> AsyncGenerator[str]:
    config = uvicorn.Config(
        build(model),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    with door:
        host, port = door.getsockname()[:2]
        task = asyncio.create_task(server.serve([door]))
        try:
            while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
            yield f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
        finally:
            server.should_exit = True
            await task
