"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option(help="TOML file (default: specreason.toml if it is there).")]
Pair = Annotated[str | None, typer.Option(help="A named pair of `specreason models list`.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting of `specreason config --explain`, for example threshold=6 or "
        "reasoning.lookahead=4. May be repeated.",
    ),
]
