"""`specreason doctor`: what is installed, what answers, what it can do, and what to fix."""

import asyncio
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.markup import escape

from specreason.cli.options import Pair, Set
from specreason.config import EngineSettings, Settings, load_settings
from specreason.config.endpoint import shown_address
from specreason.engines.host_cache import WARNING, keeps_prompts_in_host_memory
from specreason.engines.http import HttpEngine
from specreason.engines.opening import open_engine
from specreason.engines.probing import probe_cancellation
from specreason.engines.protocol import Engine
from specreason.errors import SpecReasonError
from specreason.extensions import Kind, broken
from specreason.models import cache, catalogue
from specreason.models.pair_settings import resolve

_GOOD, _BAD, _UNKNOWN = "[green]ok[/] ", "[red]no[/] ", "[yellow]?[/]  "
_UNSEEN = "the server does not report how many requests are running"
_NO_DRAFTS = (
    "no drafted tokens were seen. Not every server reports them; if this one was started without token-level "
    "speculation, +decode gains nothing"
)
_CAPABILITIES = {
    "tokenize": ("tokenizes text", "prompts are sent as text; the prefix cache may miss"),
    "token_prompts": ("accepts token ids as prompt", "prompts are sent as text; the prefix cache may miss"),
    "token_ids_back": ("returns token ids", "steps are tokenized again; the prefix cache may miss"),
    "cached_tokens": ("reports cached prompt tokens", "vLLM: start it with --enable-prompt-tokens-details"),
    "first_token_logprobs": ("returns log-probabilities of the next token", "it cannot score drafts"),
    "own_template": ("renders its own chat template", "set 'chat_template' for it"),
    "cancellation": ("stops working when a stream is closed", "still running after 15 s: a proxy between?"),
}  # fmt: skip


def doctor(
    file: Annotated[
        Path | None, typer.Option("--config", help="TOML file (default: specreason.toml).")
    ] = None,
    pair: Pair = None,
    set_: Set = None,
) -> None:
    """Check the installation, the weights and every configured engine.

    Loads embedded models, which takes a while. Marks: ok; no (specreason works without it where possible);
    ? (unknown). Exit code 1 if an engine does not answer, cannot score, has no chat template, or may mix up
    conversations.
    """
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"specreason {version('specreason')}, Python {platform.python_version()}, {platform.platform()}"
    )
    try:
        console.print(f"{_GOOD}embedded engine: xllamacpp {version('xllamacpp')}")
    except PackageNotFoundError:
        console.print(f"{_UNKNOWN}embedded engine: not installed (pip install 'specreason\\[embedded]')")
    console.print(f"   weights in {cache.folder()}")
    for weights in catalogue.WEIGHTS.values():
        here = cache.is_present(weights)
        console.print(f"{_GOOD if here else _UNKNOWN}{weights.name}", end="")
        console.print("" if here else f": not on this machine (specreason models pull {weights.name})")
    for kind in get_args(Kind):
        for fault in broken(kind).values():
            console.print(f"{_BAD}{escape(fault)}")
    settings = resolve(load_settings(file, {"pair": pair}, sets=set_))
    if not asyncio.run(_engines(settings, console)):
        raise typer.Exit(1)


async def _engines(settings: Settings, console: Console) -> bool:
    healthy = True
    sections = [("base", settings.base), ("small", settings.small)]
    if settings.base.decode_url is not None:
        decoding = settings.base.model_copy(update={"url": settings.base.decode_url})
        sections.append(("base+decode", decoding))
    for name, section in sections:
        where = shown_address(section.url) if section.url else section.engine_kind
        console.print(f"\n[bold]{name}[/]: ", end="")
        console.print(f"{where} {section.model or '(no model is set)'}", markup=False)
        try:
            engine = await open_engine("small" if name == "small" else "base", section)
        except SpecReasonError as error:
            console.print(_BAD, end="")
            console.print(str(error), markup=False)
            healthy = False
            continue
        try:
            works = await _capabilities(engine, section, console)
            if name == "base+decode":
                drafts = engine.capabilities.speculates
                console.print(f"{_GOOD}drafts tokens itself" if drafts else f"{_UNKNOWN}{_NO_DRAFTS}")
            healthy &= works or name == "base+decode"  # where that one cannot score, the plain one does
        finally:
            await engine.aclose()
    return healthy


async def _capabilities(engine: Engine, section: EngineSettings, console: Console) -> bool:
    seen, cancellation, dialect = engine.capabilities, engine.capabilities.cancellation, section.engine_kind
    if isinstance(engine, HttpEngine):
        cancellation, dialect = await probe_cancellation(engine), engine.dialect
    console.print(f"{_GOOD}answers as {dialect}: {engine.model}, context {engine.context_length} tokens")
    for name, (meaning, fix) in _CAPABILITIES.items():
        value = cancellation if name == "cancellation" else getattr(seen, name)
        mark = _UNKNOWN if value is None else _GOOD if value else _BAD
        more = f" (top {value})" if name == "first_token_logprobs" and value else ""
        console.print(
            f"{mark}{meaning}{more}" + ("" if value else f": {fix if value is not None else _UNSEEN}")
        )
    if await keeps_prompts_in_host_memory(engine):
        console.print(f"{_BAD}{WARNING}")
        return False
    can_render = seen.own_template or section.chat_template != "auto"
    return seen.first_token_logprobs > 0 and can_render
