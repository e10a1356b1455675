"""The server process: the connected pair, uvicorn around the application, and their end."""

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog
import uvicorn
from opentelemetry.trace import Tracer

from specreason.config import ServerSettings, Settings
from specreason.engines.protocol import Engine
from specreason.errors import ConfigError
from specreason.reasoning.chain import Role
from specreason.server.app import build
from specreason.server.logs import configure
from specreason.server.shutdown import Shutdown
from specreason.server.tracing import configured_tracer
from specreason.session import SpecReason

# Uvicorn's own deadline comes after ours, which tells clients why their stream ends.
_GRACE_S = 5
_ROLES: tuple[Role, ...] = ("base", "small")
_BACKLOG = 2048
_log = structlog.get_logger("specreason.server")


class Server(uvicorn.Server):
    """Uvicorn, which tells `shutdown` when it stops, and ends like any function when a signal ends it."""

    def __init__(self, config: uvicorn.Config, shutdown: Shutdown, deadline_s: float) -> None:
        super().__init__(config)
        self._shutdown = shutdown
        self._deadline_s = deadline_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._shutdown.begin(self._deadline_s)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Uvicorn would raise the signal again in the end, before the models are let go."""
        loop = asyncio.get_running_loop()
        caught: list[signal.Signals] = []
        # Elsewhere than in the main thread, and on Windows, whoever runs us has to stop us.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for wanted in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(wanted, self._stop)
                caught.append(wanted)
        try:
            yield
        finally:
            for wanted in caught:
                loop.remove_signal_handler(wanted)

    def _stop(self) -> None:
        if self.should_exit:  # asked twice: no more waiting
            self._shutdown.cut.set()
        self.should_exit = True


@asynccontextmanager
async def opened(
    settings: Settings,
    engines: Mapping[Role, Engine] | None = None,
    tracer: Tracer | None = None,
) -> AsyncGenerator[Server]:
    """The server that `settings` describe, its models connected, ready for `serve(sockets)`.

    `engines` and `tracer` use your own instead. Raises ConfigError, EngineError and ModelFileError.
    """
    shutdown = Shutdown()
    async with SpecReason(settings, roles=_ROLES, engines=engines) as session:
        limits = session.settings.server
        config = uvicorn.Config(
            build(session, shutdown, tracer or configured_tracer()),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(limits.shutdown_deadline) + _GRACE_S,
        )
        yield Server(config, shutdown, limits.shutdown_deadline)


def listening(settings: ServerSettings) -> socket.socket:
    """A socket that listens where `settings` say. Raises ConfigError if that is not possible."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; "
            "change 'server.host' or 'server.port'"
        ) from None


def address(of: socket.socket) -> str:
    """The base URL of a server that listens on `of`."""
    host, port = of.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def settle() -> None:
    """Take what is loaded by now out of the garbage collector's sight.

    It never becomes garbage, and looking through all of it stops every stream for a tenth of a second.
    """
    gc.collect()
    gc.freeze()


def run(settings: Settings) -> None:
    """Serve until a signal ends it. Raises ConfigError, EngineError and ModelFileError."""
    configure(settings.server)
    asyncio.run(_served(settings))


async def _served(settings: Settings) -> None:
    with listening(settings.server) as door:
        async with opened(settings) as server:
            settle()
            _log.info("listening", address=address(door))
            await server.serve([door])
        _log.info("stopped")
