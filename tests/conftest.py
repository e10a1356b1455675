"""What all tests share: the weights' folder, no network, no blocked event loop, small real models."""

import inspect
import ipaddress
import os
import socket
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from blockbuster import BlockBuster
from hypothesis import settings

from specreason.config import EngineSettings
from specreason.engines import llama_cpp
from specreason.engines.http import HttpEngine
from specreason.models import cache, catalogue

os.environ.setdefault(cache.CACHE_VARIABLE, str(Path(__file__).parents[1] / ".cache" / "specreason"))

# How long an example takes is the machine's business: on a busy one a deadline fails what is right.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

POCKET = catalogue.pair(catalogue.POCKET_PAIR).base.name
TALKER = "smollm2-135m-instruct"

# Where blocking the event loop is right, and why. (file, functions)
MAY_BLOCK = [
    # Policies, schedules and repairs are looked for once, where settings are made first.
    ("specreason/extensions.py", {"discovered", "own"}),
    # Before weights are loaded: a look at the size and the first four bytes of one file.
    ("specreason/models/cache.py", {"require"}),
    # A chat template is read from disk once, while connecting.
    ("specreason/engines/templates.py", {"load_template"}),
    # Asked once a load: which CPUs are hyper-threads.
    ("specreason/engines/llama_cpp.py", {"physical_cores"}),
    # Keys, and the files of /docs, are looked at once, before anyone is served.
    ("specreason/server/auth.py", {"load_keys"}),
    ("specreason/server/app.py", {"build"}),
    # The benchmark makes a folder before anything runs, and removes it after.
    ("benchmarks/faults.py", {"serving"}),
    # /proc is no disk: the process tells its own memory and CPU time.
    ("prometheus_client/process_collector.py", {"collect"}),
    # The first import of a module that is imported late.
    ("<frozen importlib._bootstrap>", {"_find_and_load"}),
    # The CA bundle, read when a client is made.
    ("httpx2/_config.py", {"create_ssl_context"}),
    # pytest's own work around a failing assertion.
    ("_pytest/assertion/rewrite.py", {"_should_rewrite"}),
]


def _is_loopback(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket
    # An address is whatever the socket library takes: its type is not known.
    host = str(address[0])  # pyright: ignore[reportUnknownArgumentType]
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.split("%", maxsplit=1)[0]).is_loopback
    except ValueError:
        return False  # a name: resolving it would already need the network


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """A test that reaches for another machine fails, even if the code under test hides the failure."""
    reached: list[Any] = []

    def guarded(original: Any) -> Any:
        def connect(self: socket.socket, address: Any, /) -> Any:
            if not _is_loopback(address):
                reached.append(address)
                raise ConnectionRefusedError(f"the tests are offline; {address} was asked for")
            return original(self, address)

        return connect

    for method in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, method, guarded(getattr(socket.socket, method)))
    yield
    if reached:
        pytest.fail(f"the network was asked for: {reached}")


@pytest.fixture(autouse=True)
def no_blocking(request: pytest.FixtureRequest, no_network: None) -> Generator[None]:
    """In an async test every call that blocks the event loop fails."""
    function: Any = getattr(request, "function", None)
    if not inspect.iscoroutinefunction(function):
        yield
        return
    watch = BlockBuster()
    for blocking in watch.functions.values():
        for file, functions in MAY_BLOCK:
            blocking.can_block_in(file, functions)
    watch.activate()
    try:
        yield
    finally:
        watch.deactivate()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pocket() -> AsyncGenerator[HttpEngine]:
    """The base model of the pocket pair in this process: quick, but it stops of its own accord."""
    engine = await llama_cpp.load(
        "base", cache.require(POCKET), POCKET, EngineSettings(context=1024, threads=1)
    )
    yield engine
    await engine.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talker() -> AsyncGenerator[HttpEngine]:
    """A model of 135M parameters without a thinking block, which writes on and on: to be broken off."""
    engine = await llama_cpp.load(
        "base", cache.require(TALKER), TALKER, EngineSettings(context=2048, threads=1)
    )
    yield engine
    await engine.aclose()
