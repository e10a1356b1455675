"""`specreason emulate`: an emulated model server, for timing work without models or GPUs."""

import asyncio
from importlib import import_module
from typing import Annotated, Any, Literal

import typer

from specreason.errors import ConfigError

_EXTRA = {"fastapi", "prometheus_client", "starlette", "uvicorn"}


def emulate(
    role: Annotated[
        Literal["base", "small", "both"],
        typer.Option(help="Which model to serve; both share the hardware, small gets the next port."),
    ] = "both",
    profile: Annotated[str, typer.Option(help="Timing profile: paper, h100 or cpu.")] = "paper",
    script: Annotated[int, typer.Option(help="Seed of the texts; the same for both models.")] = 0,
    acceptance: Annotated[float, typer.Option(help="Share of good drafts, 0 to 1.")] = 0.8,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65534)] = 8100,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    shared_failures: Annotated[
        float, typer.Option(help="Share of bad drafts whose step no draft gets right, 0 to 1.")
    ] = 0.5,
    steps: Annotated[int, typer.Option(help="Average number of steps of a problem.")] = 12,
    step_tokens: Annotated[int, typer.Option(help="Average number of tokens of a step; at least 28.")] = 55,
    samples_by: Annotated[
        Literal["choice", "seed"],
        typer.Option(help="What makes drafts of a step differ: the place among `n`, or the seed too."),
    ] = "choice",
    scale: Annotated[float, typer.Option(help="Factor on every duration; 0.1 is ten times as fast.")] = 1.0,
) -> None:
    """Serve an emulated model over HTTP: no model runs, a script answers with the timing of a profile.

    For timing work only. A prompt that contains "problem 17" gets problem 17 of the script. Stop with Ctrl-C.
    """
    pair, profiles, scripts = _modules()
    said = scripts.Script(
        seed=script,
        acceptance=acceptance,
        shared_failures=shared_failures,
        steps=steps,
        step_tokens=step_tokens,
        samples_by=samples_by,
    )
    models = pair.emulated_models(said, profiles.profile_named(profile), scale=scale, shared=role == "both")
    roles = ("base", "small") if role == "both" else (role,)
    asyncio.run(pair.serve({port + n: models[served] for n, served in enumerate(roles)}, host))


def _modules() -> tuple[Any, ...]:
    """The emulation, imported only when it is asked for: it needs the server's extra."""
    names = ("pair", "profiles", "script")
    try:
        return tuple(import_module(f"specreason.emulate.{name}") for name in names)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigError("the emulation needs: pip install 'specreason[server]'") from None
