"""`specreason lab`: the pocket pair's problems, demonstration, training and export."""

import asyncio
import importlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from specreason.errors import ConfigError
from specreason_lab.problems import Split, problems, reply

app = typer.Typer(
    help="The pocket pair: its problems, a demonstration, training, export.", no_args_is_help=True
)
Folder = Annotated[Path, typer.Option(help="Folder of checkpoints and logs, from which training continues.")]
Model = Annotated[Literal["small", "base"], typer.Argument(help="Which model of the pair.")]


@app.command("new-problem")
def new_problem(
    split: Annotated[Split, typer.Option(help="hard: longer than anything in training.")] = "test",
    seed: Annotated[int, typer.Option(help="The same seed gives the same problems.")] = 0,
    count: Annotated[int, typer.Option(help="Number of problems.", min=1)] = 1,
    solution: Annotated[bool, typer.Option(help="Print the right chain and answer too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line: id, problem, answer.")
    ] = False,
) -> None:
    """Print problems of a split."""
    for number, made in zip(range(count), problems(seed, split), strict=False):
        if as_json:
            row = {"id": f"{split}-{seed}-{number}", "problem": made.text, "answer": str(made.answer)}
            typer.echo(json.dumps(row | ({"steps": made.steps} if solution else {})))
        else:
            typer.echo(made.text)
            if solution:
                typer.echo("\n" + "".join(made.steps) + reply(made.answer))
            typer.echo()


@app.command()
def train(
    model: Model,
    folder: Folder = Path("lab/runs"),
    threads: Annotated[int, typer.Option(help="CPU threads; 0: as PyTorch chooses.", min=0)] = 0,
) -> None:
    """Train one model, or continue its training.

    Training base also trains small, whose steps it judges, and a seedling, out of which it grows.
    """
    plans = _needs_extra("specreason_lab.plans")
    if threads:
        _needs_extra("torch").set_num_threads(threads)
    plans.run(model, folder, typer.echo)


@app.command()
def export(
    model: Model,
    folder: Folder = Path("lab/runs"),
    to: Annotated[Path, typer.Option(help="Output folder.")] = Path("lab/export"),
) -> None:
    """Write a trained model as a GGUF file (llama.cpp) and as a folder for transformers and vLLM."""
    _needs_extra("specreason_lab.plans").export(model, folder, to, typer.echo)


@app.command()
def unpack(
    model: Model,
    to: Annotated[Path, typer.Option(help="Output folder.")] = Path("lab/export"),
) -> None:
    """Write a shipped model as a folder for transformers and vLLM; prints its path."""
    typer.echo(_needs_extra("specreason_lab.plans").unpack(model, to))


@app.command()
def demo(
    count: Annotated[int, typer.Option("--problems", help="Number of held-out problems.", min=1)] = 30,
) -> None:
    """Show the shipped pair at work: base, small and specreason side by side, and one chain in colour."""
    asyncio.run(_needs_extra("specreason_lab.demo", "eval").demo(count, Console()))


def _needs_extra(module: str, extra: str = "lab") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"this needs: pip install 'specreason[{extra}]' ({error})") from None


if __name__ == "__main__":
    app()
