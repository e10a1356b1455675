"""llama.cpp inside this process: the default where no server is running.

The xllamacpp wheel starts llama.cpp's own HTTP server on a free loopback port, with a key that only this
process knows; so the embedded engine is the HTTP engine, speaking the llama-server dialect.
"""

import asyncio
import importlib
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from specreason.config import EngineSettings
from specreason.engines.connect import connect
from specreason.engines.http import HttpEngine
from specreason.errors import ConfigError, EngineUnavailable

DEFAULT_CONTEXT = 8192
# Two models have more threads together than there are cores. GNU OpenMP then sends threads to sleep whenever
# they wait for one another, hundreds of times a token, unless told to wait actively. The count keeps that
# short: a model that waits for the other one's turn would hold the core that this one needs. Read when the
# library is loaded; docs/decisions/0011-threads.md.
_OPENMP = {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "1000"}


async def load(
    name: str,
    weights: Path,
    model: str,
    settings: EngineSettings,
    drafter: Path | None = None,
    *,
    flash: bool | None = None,
) -> HttpEngine:
    """Load a GGUF file and connect to it; `model` is the name that it goes by.

    With a `drafter`, a GGUF file of the same vocabulary, llama.cpp speculates: that model drafts tokens, and
    those that the model itself would have drawn come out. `flash`: whether attention is llama.cpp's flash
    attention; by default as llama.cpp chooses.

    Loading holds the interpreter (about a second a gigabyte): do it before the event loop serves anyone.
    Raises ConfigError if the `embedded` extra is not installed, EngineUnavailable if the file cannot be
    loaded.
    """
    key = secrets.token_urlsafe(16)
    server: list[Any] = []

    async def unload() -> None:
        # Dropping the last reference stops the server, which waits for its threads.
        await asyncio.to_thread(server.clear)

    loading = asyncio.create_task(
        asyncio.to_thread(_start, name, weights, model, key, settings, drafter=drafter, flash=flash)
    )
    try:
        server.append(await asyncio.shield(loading))
    except asyncio.CancelledError:
        # Loading cannot be broken off. Its end is waited for, or a model would run on that nobody holds.
        await asyncio.wait({loading})
        if not loading.cancelled() and loading.exception() is None:
            server.append(loading.result())
            await unload()
        raise
    url = str(server[0].listening_address)

    try:
        remote = settings.model_copy(
            update={"url": url, "model": model, "dialect": "llama-server", "api_key": SecretStr(key)}
        )
        engine = await connect(name, remote, on_close=unload)
        return engine.with_capabilities(replace(engine.capabilities, in_process=True))
    except BaseException:
        await unload()
        raise


def _start(
    name: str,
    weights: Path,
    model: str,
    key: str,
    settings: EngineSettings,
    *,
    drafter: Path | None,
    flash: bool | None,
) -> Any:
    for variable, value in _OPENMP.items():
        os.environ.setdefault(variable, value)
    try:
        xllamacpp: Any = importlib.import_module("xllamacpp")  # an extra
    except ImportError:
        raise ConfigError(
            f"'{name}' has no url, so its model would run in this process, which needs: "
            "pip install 'specreason[embedded]'"
        ) from None
    params: Any = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {model}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.ui = False
    # llama.cpp's host-memory prompt cache, on by default, may restore another conversation's state into a
    # slot (its issue 27148): replies then go on from someone else's problem.
    params.cache_ram_mib = 0
    params.n_parallel = settings.parallel
    params.n_ctx = (settings.context or DEFAULT_CONTEXT) * settings.parallel
    threads = settings.threads or physical_cores()
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.n_gpu_layers = settings.gpu_layers
    if flash is not None:
        kind: Any = xllamacpp.llama_flash_attn_type
        params.flash_attn_type = (
            kind.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else kind.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
    params.endpoint_slots = True
    params.endpoint_props = True
    params.endpoint_metrics = True
    params.verbosity = 0
    params.warmup = False
    if drafter is not None:
        kinds: Any = xllamacpp.common_speculative_type
        params.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
        draft: Any = params.speculative.draft
        draft.mparams.path = str(drafter)
        draft.n_max = settings.draft_tokens
        draft.n_gpu_layers = settings.gpu_layers
        draft.cpuparams.n_threads = threads
        draft.cpuparams_batch.n_threads = threads
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise EngineUnavailable(f"{weights} could not be loaded: {error}", engine=name) from None


def physical_cores() -> int:
    """Cores that this process may use; llama.cpp gains nothing from hyper-threads."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    siblings: set[str] = set()
    for cpu in allowed:
        try:
            siblings.add(Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text())
        except OSError:
            siblings.add(str(cpu))
    return max(1, len(siblings))
