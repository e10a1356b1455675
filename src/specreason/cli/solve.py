"""`specreason solve`: one problem, its steps shown as they are decided."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack, ExitStack, aclosing, suppress
from io import RawIOBase
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from specreason.cli.display import StepDisplay
from specreason.cli.options import Config, Pair, Set
from specreason.config import Settings, load_settings
from specreason.config.assignments import assignments
from specreason.config.load import setting_keys
from specreason.conversation import checked_messages
from specreason.errors import ConfigError, InputError, TraceError
from specreason.models.pair_settings import resolve
from specreason.reasoning.events import to_json
from specreason.reasoning.result import Result, Tally
from specreason.session import SpecReason
from specreason.text_files import decoded, read_text


def solve(
    problem: Annotated[
        str | None,
        typer.Argument(help="The problem; '-' or nothing reads standard input.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the problem from a file.")] = None,
    config: Config = None,
    pair: Pair = None,
    scheme: Annotated[
        str | None, typer.Option(help="A policy (specreason, base, small ...), with +decode or without.")
    ] = None,
    set_: Set = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampling.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
    trace: Annotated[Path | None, typer.Option(help="Write the events to this file, as JSON Lines.")] = None,
) -> None:
    """Solve one problem by speculative reasoning."""
    text = _problem(problem, file)
    checked_messages(text)
    flags: dict[str, object] = {
        "pair": pair,
        "reasoning.scheme": scheme,
        "sampling.temperature": temperature,
        "sampling.seed": seed,
    }
    settings = resolve(load_settings(config, flags, sets=set_))
    for key in assignments("--set", set_ or (), list(setting_keys())):
        section, _, rest = key.partition(".")
        if section == "policy" and rest.partition(".")[0] != settings.reasoning.scheme.policy:
            typer.echo(f"{key} has no effect: the scheme is {settings.reasoning.scheme}", err=True)
    result, untraced = asyncio.run(_solved(text, settings, as_json=as_json, trace=trace))
    if as_json:
        typer.echo(json.dumps(result.as_dict(), ensure_ascii=False))
    if untraced is not None:
        raise TraceError(f"--trace {trace} is incomplete: {untraced.strerror}")


async def _solved(
    text: str, settings: Settings, *, as_json: bool, trace: Path | None
) -> tuple[Result, OSError | None]:
    """The result, and why not all of it stands in the trace, if so."""
    console = Console(stderr=as_json, highlight=False, soft_wrap=True, quiet=as_json)
    tally, untraced = Tally(), None
    with ExitStack() as files:
        async with AsyncExitStack() as stack:
            with console.status("loading the models ..."):
                engine = await stack.enter_async_context(SpecReason(settings))
            # Only now: a run that never starts leaves an older trace alone.
            lines = files.enter_context(_opened(trace)) if trace else None
            display = StepDisplay(console)
            async with aclosing(engine.stream(text)) as events:
                async for event in events:
                    tally.take(event)
                    if lines is not None and untraced is None:
                        untraced = _written(lines, f"{to_json(event)}\n".encode())
                    display.show(event)
    result = tally.result()
    display.summary(result)
    return result, untraced


def _problem(argument: str | None, file: Path | None) -> str:
    if argument is not None and file is not None:
        raise ConfigError("give the problem as an argument or by --file, not both")
    try:
        if file is not None:
            return read_text(file)
        if argument not in {None, "-"}:
            return (argument or "").removeprefix("\ufeff")  # "$(cat problem.txt)" passes a mark on
        if sys.stdin.isatty():
            raise InputError('no problem: specreason solve "PROBLEM", or --file, or standard input')
        return decoded(sys.stdin.buffer.read())
    except UnicodeDecodeError as error:
        raise InputError(f"the problem is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"--file {file}: {error.strerror}") from None


def _opened(path: Path) -> RawIOBase:
    try:
        return path.open("wb", buffering=0)
    except OSError as error:
        raise ConfigError(f"--trace {path}: {error.strerror}") from None


def _written(file: RawIOBase, line: bytes) -> OSError | None:
    """Write a line at once, and whole or not at all; the error if that fails."""
    written = 0
    try:
        while written < len(line):
            written += file.write(line[written:])
    except OSError as error:
        with suppress(OSError):
            file.truncate(file.tell() - written)
        return error
    return None
