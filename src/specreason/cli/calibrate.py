"""`specreason calibrate`: the threshold for the user's own pair."""

from pathlib import Path
from typing import Annotated

import typer

from specreason.cli.eval.app import work
from specreason.cli.options import Config, Pair, Set


def calibrate(
    steps: Annotated[
        Path,
        typer.Argument(help="Lines of problem, steps and labels; or a study, whose right chains are taken."),
    ],
    precision: Annotated[
        float | None, typer.Option(help="Wanted share of right steps among those kept.", min=0, max=1)
    ] = None,
    acceptance: Annotated[
        float | None, typer.Option(help="Wanted share of drafts that are kept.", min=0, max=1)
    ] = None,
    confidence: Annotated[float, typer.Option(help="How sure to be of it.", min=0.5, max=0.999)] = 0.95,
    right_share: Annotated[
        float | None, typer.Option(help="Share of drafts that are right in real use.", min=0.01, max=0.99)
    ] = None,
    limit: Annotated[int, typer.Option(help="Most steps to ask about.", min=20)] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the changed numbers.", min=0)] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the threshold.")] = False,
    store: Annotated[Path | None, typer.Option(help="Where scores are kept; gone on with.")] = None,
    config: Config = None,
    pair: Pair = None,
    set_: Set = None,
) -> None:
    """Find the threshold that gives a wanted quality, and write it into the config file."""
    work("calibrate").calibrate(**locals())  # the work has the same parameters
