"""llama.cpp inside this process: the default where no server is running.

The xllamacpp wheel starts llama.cpp's own HTTP server on a free loopback port, with a key that only this
process knows; so the embedded engine is the HTTP engine, speaking the llama-server dialect.
"""

import asyncio
import importlib
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from specreason.config import EngineSettings, Settings
from specreason.engines.connect import connect
from specreason.engines.http import HttpEngine
from specreason.errors import ConfigError, EngineUnavailable
from specreason.models import cache, gguf

DEFAULT_CONTEXT = 8192
# Two models have more threads together than there are cores. GNU OpenMP then sends threads to sleep whenever
# they wait for one another, hundreds of times a token, unless it is set to wait actively. The count keeps
# that short: a model that waits for the other one's turn would keep the core that this one needs. Read when
# the library is loaded; docs/decisions/0011-threads.md.
_OPENMP = {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "1000"}


async def open_weights(name: str, settings: EngineSettings, streams: int) -> HttpEngine:
    """The kind "llama.cpp", with the weights `settings.model`.

    Raises ConfigError if no model is set, ModelFileError if its file is not in the cache, else as `load`.
    """
    if not settings.model:
        raise ConfigError(
            f"the {name} model is not set: set '{name}.url' (a server) or '{name}.model' (weights in this "
            "process; for names see: specreason models list)"
        )
    return await load(name, cache.require(settings.model), settings.model, _with_room(settings, streams))


async def open_with_drafter(settings: Settings, streams: int) -> HttpEngine:
    """The base model with the small one as its drafter of tokens. Raises as `open_weights`."""
    base, small = settings.base, settings.small
    if small.engine_kind != base.engine_kind or not small.model:
        raise ConfigError(
            "in a scheme with +decode the small model drafts tokens inside the base model's engine. "
            "That one runs in this process, so set 'small.model' to weights, and leave out 'small.url'"
        )
    weights, drafter = cache.require(base.model), cache.require(small.model)
    vocabularies = [await asyncio.to_thread(gguf.vocabulary, path) for path in (weights, drafter)]
    if not vocabularies[0].same_as(vocabularies[1]):
        raise ConfigError(
            "a scheme with +decode needs models that share a vocabulary, since the small model drafts tokens "
            f"for the base model: 'base.model' is '{base.model}' ({vocabularies[0].described}), "
            f"'small.model' is '{small.model}' ({vocabularies[1].described}); take two models of one family, "
            "or a scheme without +decode, which shares text only"
        )
    return await load("base", weights, base.model, _with_room(base, streams), drafter)


def _with_room(settings: EngineSettings, streams: int) -> EngineSettings:
    return settings.model_copy(update={"parallel": settings.parallel * streams})


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
    remote = settings.model_copy(
        update={
            "model": model,
            "dialect": "llama-server",
            "api_key": SecretStr(secrets.token_urlsafe(16)),
        }
    )
    server: list[Any] = []

    async def unload() -> None:
        # Dropping the last reference stops the server, which waits for its threads.
        await asyncio.to_thread(server.clear)

    try:
        await _uninterrupted(lambda: server.append(_start(name, weights, remote, drafter, flash)))
        remote = remote.model_copy(update={"url": str(server[0].listening_address)})
        engine = await connect(name, remote, on_close=unload)
        return engine.with_capabilities(replace(engine.capabilities, in_process=True))
    except BaseException:
        await unload()
        raise


async def _uninterrupted(work: Callable[[], None]) -> None:
    """Run `work` in a thread to its end, also if cancelled: loading cannot be broken off."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def _start(
    name: str, weights: Path, settings: EngineSettings, drafter: Path | None, flash: bool | None
) -> Any:
    xllamacpp = _library()
    params = server_parameters(weights, settings)
    if flash is not None:
        kind: Any = xllamacpp.llama_flash_attn_type
        params.flash_attn_type = (
            kind.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else kind.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
    if drafter is not None:
        params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
        draft: Any = params.speculative.draft
        draft.mparams.path = str(drafter)
        draft.n_max = settings.draft_tokens
        _compute_with(draft, settings)
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise EngineUnavailable(f"{weights} could not be loaded: {error}", engine=name) from None


def server_parameters(weights: Path, settings: EngineSettings) -> Any:
    """What llama.cpp's server is to be: on a free port of loopback, for whoever has the `api_key`.

    Raises ConfigError if the `embedded` extra is not installed.
    """
    params: Any = _library().CommonParams()
    params.model.path = str(weights)
    params.model_alias = {settings.model}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings.api_key.get_secret_value()] if settings.api_key else []
    params.ui = False
    params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = True
    params.verbosity = 0
    params.warmup = False
    # llama.cpp's host-memory prompt cache, on by default, may restore another conversation's state into a
    # slot (its issue 27148): replies then go on from someone else's problem.
    params.cache_ram_mib = 0
    params.n_parallel = settings.parallel
    params.n_ctx = (settings.context or DEFAULT_CONTEXT) * settings.parallel
    _compute_with(params, settings)
    return params


def _compute_with(params: Any, settings: EngineSettings) -> None:
    params.n_gpu_layers = settings.gpu_layers
    threads = settings.threads or physical_cores()
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads


def _library() -> Any:
    for variable, value in _OPENMP.items():
        os.environ.setdefault(variable, value)
    try:
        return importlib.import_module("xllamacpp")  # an extra
    except ImportError:
        raise ConfigError(
            "a model without 'url' runs in this process, which needs: pip install 'specreason[embedded]'"
        ) from None


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
