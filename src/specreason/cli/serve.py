"""`specreason serve`: the pair behind an OpenAI-compatible HTTP API."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from specreason.cli.options import Config, Pair, Set
from specreason.config import load_settings
from specreason.errors import ConfigError

_EXTRA = {"anyio", "fastapi", "fastapi_offline", "opentelemetry", "prometheus_client", "structlog", "uvicorn"}


def serve(
    config: Config = None,
    pair: Pair = None,
    set_: Set = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (default: 8080).")] = None,
    api_keys_file: Annotated[
        Path | None, typer.Option(help="File with the API keys of clients, one per line.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Problems solved at the same time.")] = None,
    log_format: Annotated[str | None, typer.Option(help="Log format: console or json.")] = None,
    log_level: Annotated[str | None, typer.Option(help="Log level: debug, info, warning or error.")] = None,
) -> None:
    """Serve the pair over an OpenAI-compatible HTTP API. Stop with Ctrl-C or SIGTERM."""
    flags: dict[str, object] = {
        "pair": pair,
        "server.host": host,
        "server.port": port,
        "server.api_keys_file": api_keys_file,
        "server.concurrency": concurrency,
        "server.log_format": log_format,
        "server.log_level": log_level,
    }
    settings = load_settings(config, flags, sets=set_)
    _server_module().run(settings)


def _server_module() -> Any:
    """The server, imported only when it is asked for: it is an extra."""
    try:
        return import_module("specreason.server.run")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigError("the server needs: pip install 'specreason[server]'") from None
