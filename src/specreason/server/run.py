"""The server process: the connected pair, uvicorn around the application, and their end."""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version

import structlog
import uvicorn
from opentelemetry.trace import Tracer

from specreason.config import ServerSettings, Settings
from specreason.config.scheme import Role
from specreason.engines.host_cache import WARNING, keeps_prompts_in_host_memory
from specreason.engines.names import DECODER, EngineName, engines_of
from specreason.engines.protocol import Engine
from specreason.errors import ConfigError
from specreason.server.admission import LONGEST_RETRY_S
from specreason.server.app import build, state_for
from specreason.server.auth import load_keys
from specreason.server.connections import watch
from specreason.server.errors import TRY_AGAIN_S
from specreason.server.logs import configure
from specreason.server.shutdown import Shutdown, signals
from specreason.server.state import ServerState
from specreason.server.tracing import configured_tracer
from specreason.session import SpecReason

# Uvicorn's deadline comes after ours, which sends clients an error event.
_GRACE_S = 5
# Longer than any Retry-After: a client that comes back then must not meet a connection that is closing.
_KEEP_ALIVE_S = max(TRY_AGAIN_S, LONGEST_RETRY_S) + 15
_BACKLOG = 2048
_VERSION = version("specreason")
_log = structlog.get_logger("specreason.server")


class Server(uvicorn.Server):
    """Uvicorn, which stops in two parts: it serves until nothing runs any more, then closes its socket.

    In between, requests and load balancers get the answer that it is stopping.
    """

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config)
        self.server_state.connections = state.connections
        self.state = state

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        settings = self.state.settings
        watching = asyncio.create_task(
            watch(self.state.connections, head_s=settings.body_timeout, linger_s=settings.client_timeout)
        )
        try:
            await super().serve(sockets)
        finally:
            watching.cancel()

    def stop(self) -> None:
        """Refuse new requests, let running ones finish until the deadline. Called twice: cancel them."""
        if self.state.shutdown.started:
            self.state.shutdown.cut.set()
        else:
            _log.info("stopping", running=self.state.admission.running, waiting=self.state.admission.waiting)
            self._start_shutdown()

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn, which asks ten times a second."""
        shutdown = self.state.shutdown
        if shutdown.started and (self.state.admission.empty or shutdown.cut.is_set()):
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._start_shutdown()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Not uvicorn's task: signals come while the models load, too (see `run`)."""
        yield

    def _start_shutdown(self) -> None:
        self.state.shutdown.start(self.state.settings.shutdown_deadline)


@asynccontextmanager
async def opened(
    settings: Settings,
    engines: Mapping[str, Engine] | Mapping[Role, Engine] | None = None,
    tracer: Tracer | None = None,
    decoder: Engine | None = None,
) -> AsyncGenerator[Server]:
    """The server that `settings` describe, its models connected, ready for `serve(sockets)`.

    `engines`, `decoder` and `tracer` use your own instead. Raises ConfigError, EngineError and
    ModelFileError; what can be wrong without the models is found before they are loaded.
    """
    keys = load_keys(settings.server)
    tracer = tracer or configured_tracer()
    session = SpecReason(settings, roles=_engine_names(settings), engines=engines, decoder=decoder)
    sections = {"base": session.settings.base, "small": session.settings.small}
    named = {role: section.model for role, section in sections.items() if section.model}
    _log.info("loading", version=_VERSION, **named)
    async with session:
        for name, engine in session.pair.named.items():
            if await keeps_prompts_in_host_memory(engine):
                _log.warning("conversations may mix", engine=name, reason=WARNING)
        state = state_for(session, Shutdown(), tracer, keys)
        config = uvicorn.Config(
            build(state),
            lifespan="off",
            http="h11",  # what our tests of odd requests ran with, also where httptools is installed
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(state.settings.shutdown_deadline) + _GRACE_S,
        )
        yield Server(config, state)


def _engine_names(settings: Settings) -> tuple[EngineName, ...]:
    """Both models, since requests may name either; and the decoder, if `base.decode_url` is set."""
    names: list[EngineName] = ["base", "small", *engines_of([settings.reasoning.scheme])]
    return tuple(dict.fromkeys([*names, DECODER] if settings.base.decode_url else names))


def bound(settings: ServerSettings) -> socket.socket:
    """A socket at the address that `settings` name. No client can connect before it listens.

    Raises ConfigError if the address cannot be had.
    """
    with _named_failures(settings):
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, where = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # else it would let two servers have one port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(where)
        except OSError:
            listener.close()
            raise
        return listener


def address(of: socket.socket) -> str:
    """The base URL of a server behind the socket."""
    host, port = of.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def settle() -> None:
    """Exclude everything loaded by now from garbage collection.

    It never becomes garbage, and looking through all of it stops every stream for a tenth of a second.
    """
    gc.collect()
    gc.freeze()


def run(settings: Settings) -> None:
    """Serve until a signal ends it. Raises ConfigError, EngineError and ModelFileError."""
    configure(settings.server)
    asyncio.run(_served(settings))


async def _served(settings: Settings) -> None:
    loading = asyncio.current_task()
    server: Server | None = None
    cancelled = False

    def stop() -> None:
        nonlocal cancelled
        if server is not None:
            server.stop()
        elif loading is not None and not cancelled:  # once: a second signal must not cancel the clean-up
            cancelled = True
            loading.cancel()

    with signals(stop), bound(settings.server) as listener:
        try:
            async with opened(settings) as server:
                settle()
                with _named_failures(settings.server):
                    listener.listen(_BACKLOG)
                _log.info("ready", address=address(listener), **_described(server.state))
                await server.serve([listener])
        except asyncio.CancelledError:
            if not cancelled:
                raise
    _log.info("stopped")


def _described(state: ServerState) -> Mapping[str, object]:
    return {
        "version": _VERSION,
        "models": list(state.offers),
        "scheme": str(state.session.settings.reasoning.scheme),
        "concurrency": state.admission.slots,
        "queue": state.settings.queue,
        "keys": len(state.keys),
    }


@contextmanager
def _named_failures(settings: ServerSettings) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; "
            "change 'server.host' or 'server.port'"
        ) from None
