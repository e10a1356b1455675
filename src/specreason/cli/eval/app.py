"""`specreason eval`: studies of a pair. Only the surface: what does the work is imported when asked for."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from specreason.cli.options import Config, Pair, Set
from specreason.errors import ConfigError

_EXTRA = {
    "altair",
    "datasets",
    "filelock",
    "math_verify",
    "numpy",
    "pebble",
    "sympy",
    "tomlkit",
    "vl_convert",
}

app = typer.Typer(
    help="Run studies of a pair: accuracy and speed under any settings, with error bars.",
    no_args_is_help=True,
)
Store = Annotated[Path, typer.Argument(help="The study: the file that `eval run` wrote.")]
Task = Annotated[
    str,
    typer.Option(
        "--task",
        help="gsm8k, math500, aime24, aime25, gpqa-diamond, or a file: lines of id, problem, answer.",
    ),
]
Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        help="A setting and its values, for example scheme=base,specreason or token_budget=1024,4096. "
        "Several make every combination (default: the scheme of the settings, base and small).",
    ),
]


def work(module: str) -> Any:
    """A module of this room, which needs the extra `eval`."""
    try:
        return import_module(f"specreason.cli.eval.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigError(f"this needs: pip install 'specreason[eval]' ({error})") from None


@app.command("run")
def run(
    task: Task,
    vary: Vary = None,
    set_: Set = None,
    samples: Annotated[int, typer.Option(help="Runs of each problem in each cell.", min=1)] = 1,
    limit: Annotated[int | None, typer.Option(help="Only the first problems.", min=1)] = None,
    skip: Annotated[int, typer.Option(help="Problems to pass over first.", min=0)] = 0,
    concurrency: Annotated[
        str, typer.Option(help="Problems solved at once; several (1,16) measure latency under each load.")
    ] = "1",
    seed: Annotated[int, typer.Option(help="Seed of samples and of the order of choices.", min=0)] = 0,
    store: Annotated[
        Path | None, typer.Option(help="The study's file; one that is there is gone on with.")
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Run again what broke off in earlier sessions.")
    ] = False,
    config: Config = None,
    pair: Pair = None,
) -> None:
    """Run a study, or go on with it: the same command again does only what is missing."""
    work("run").run(**locals())  # the work has the same parameters


@app.command("report")
def report(
    store: Store,
    html: Annotated[
        Path | None, typer.Option(help="Where the page goes (default: beside the study).")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Where the Markdown goes.")] = None,
    against: Annotated[str, typer.Option(help="The scheme that others are compared with.")] = "base",
    traces: Annotated[int, typer.Option(help="Problems whose traces are part of the page.", min=0)] = 20,
) -> None:
    """Write the tables and figures of a study: one HTML page that needs no network, and Markdown."""
    work("report").report(store, html=html, markdown=markdown, against=against, traces=traces)


@app.command("compare")
def compare(
    a: Annotated[str, typer.Argument(help="STORE, or STORE:LABEL for one cell, for example s.sqlite:base.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
) -> None:
    """Say what can be concluded from two runs of the same problems, and what cannot."""
    work("report").compare(a, b)


@app.command("trace")
def trace(
    store: Store,
    problem: Annotated[str, typer.Argument(help="The problem's id.")],
    cell: Annotated[str, typer.Option(help="The cell, for example base; needed if there are several.")] = "",
    sample: Annotated[int, typer.Option(help="Which sample.", min=0)] = 0,
) -> None:
    """Print every event of one run, as JSON Lines (docs/trace.md)."""
    work("report").trace(store, problem, cell, sample)


@app.command("score-quality")
def score_quality(
    steps: Annotated[
        Path, typer.Argument(help="JSON Lines: problem and steps, and labels where they are known.")
    ],
    prompts: Annotated[str, typer.Option(help="Judge prompts: paper, inline, or both.")] = "paper,inline",
    limit: Annotated[int, typer.Option(help="Steps to score, right and wrong together.", min=2)] = 400,
    precision: Annotated[
        float | None, typer.Option(help="Also the threshold for this share of right steps.", min=0, max=1)
    ] = None,
    acceptance: Annotated[
        float | None, typer.Option(help="Also the threshold for this share of accepted steps.", min=0, max=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the corrupted steps.", min=0)] = 0,
    store: Annotated[Path | None, typer.Option(help="Where scores are kept; gone on with.")] = None,
    config: Config = None,
    pair: Pair = None,
    set_: Set = None,
) -> None:
    """Measure how well the base model's score tells right steps from wrong ones."""
    work("quality").score_quality(**locals())
