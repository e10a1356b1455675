"""The `specreason` command: errors of ours become one message and an exit code, never a traceback."""

import errno
import os
import sys
from importlib.metadata import entry_points, version
from typing import Annotated

import typer
from rich.console import Console
from stamina.instrumentation import set_on_retry_hooks

from specreason.cli import calibrate, config, doctor, emulate, models, serve, solve
from specreason.cli.eval.app import app as eval_app
from specreason.errors import SpecReasonError

EXIT_CODES = """Exit codes: 0 finished, 1 an engine or a file failed, 2 the input or a setting cannot be used,
130 interrupted."""

_FULL = {errno.ENOSPC, errno.EDQUOT}

app = typer.Typer(
    name="specreason",
    help="Speculative reasoning: a small model drafts reasoning steps, the base model scores them and "
    "rewrites the weak ones.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command(name="solve", epilog=EXIT_CODES)(solve.solve)
app.command(name="serve")(serve.serve)
app.command(name="emulate")(emulate.emulate)
app.command(name="doctor")(doctor.doctor)
app.command(name="calibrate")(calibrate.calibrate)
app.command(name="config")(config.config)
app.add_typer(models.app, name="models")
app.add_typer(eval_app, name="eval")
# Packages beside this one add commands of their own; nothing here imports them by name.
for _command in entry_points(group="specreason.commands"):
    app.add_typer(_command.load(), name=_command.name)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("specreason"))
        raise typer.Exit


@app.callback()
def _root(
    _show_version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    # The engine's error reports retries that fail; the library's own log lines would break up the display.
    set_on_retry_hooks(())


def main() -> None:
    """Entry point of the console script."""
    if not os.environ.get("COLUMNS", "").strip("0 "):
        os.environ.pop("COLUMNS", None)  # rich takes 0 at its word, and prints nothing
    errors = Console(stderr=True, highlight=False)
    try:
        app()
    except SpecReasonError as error:
        errors.print(f"[red]error:[/] {_escaped(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        errors.print(f"[red]error:[/] {_escaped(str(error))}; free some space and try again", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("interrupted")
        sys.exit(130)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


if __name__ == "__main__":
    main()
