"""`specreason config`: the current settings, or the reference of all of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from specreason.cli.options import Pair, Set
from specreason.config import load_settings
from specreason.config.explain import as_markdown, knobs
from specreason.errors import ConfigError
from specreason.models import catalogue
from specreason.models.pair_settings import resolve


def config(
    only: Annotated[
        str | None,
        typer.Argument(help="With --explain: only settings of this section, such as policy.specreason."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Describe every setting.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="With --explain: as Markdown.")] = False,
    file: Annotated[
        Path | None, typer.Option("--config", help="TOML file (default: specreason.toml).")
    ] = None,
    pair: Pair = None,
    set_: Set = None,
) -> None:
    """Show the current settings (secrets hidden), or with --explain what each setting means."""
    console = Console(highlight=False, soft_wrap=True)
    if markdown and not explain:
        raise ConfigError("--markdown needs --explain")
    if markdown:
        typer.echo(as_markdown(), nl=False)
        return
    if not explain:
        console.print_json(resolve(load_settings(file, {"pair": pair}, sets=set_)).model_dump_json())
        return
    suits: Mapping[str, Any] = catalogue.pair(pair).settings if pair else {}
    for knob in knobs():
        if only and not f"{knob.key}.".startswith(f"{only.rstrip('.')}."):
            continue
        span = ", ".join(part for part in (knob.range, knob.unit) if part)
        console.print(f"[bold]{knob.key}[/] = {knob.default}", end="")
        console.print(f"  ({knob.type}{', ' + span if span else ''})", style="dim", markup=False)
        console.print(f"    {knob.description}", markup=False)
        if knob.key in suits:
            console.print(f"    pair {pair}: {suits[knob.key]!r}", markup=False)
        console.print(f"    {knob.env}", style="dim", markup=False)
