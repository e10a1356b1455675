"""The kinds of engines: where a model can live. Packages add theirs by the entry point `specreason.engines`.

[project.entry-points."specreason.engines"]
transformers = "my_package:KIND"  # an EngineKind, asked for by: [base] kind = "transformers"
"""

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from specreason.config import EngineSettings, Settings
from specreason.engines import connect, llama_cpp
from specreason.engines.protocol import Engine
from specreason.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One way to have a model.

    `open(name, settings, streams)`: the engine of the section `name` ("base", "small") of the settings;
    `streams`: places of one conversation that its cache is to keep. `open_decoder(settings, streams)`: the
    base model with token-level speculation, None if this kind has no such thing. Both raise ConfigError or
    EngineError. `in_process`: models of this kind compute in this process, and share its cores.
    """

    name: str
    open: Callable[[str, EngineSettings, int], Awaitable[Engine]]
    open_decoder: Callable[[Settings, int], Awaitable[Engine]] | None = None
    in_process: bool = False


KINDS: Mapping[str, EngineKind] = {
    kind.name: kind
    for kind in (
        EngineKind("http", connect.open_endpoint, connect.open_decoding_endpoint),
        EngineKind("llama.cpp", llama_cpp.open_weights, llama_cpp.open_with_drafter, in_process=True),
    )
}


def kind_of(name: str, settings: EngineSettings) -> EngineKind:
    """The kind that section `name` of the settings asks for. Raises ConfigError if there is no such kind."""
    asked = settings.engine_kind
    if asked in KINDS:
        return KINDS[asked]
    if asked not in _further():
        known = ["auto", *KINDS, *_further()]
        close = difflib.get_close_matches(asked, known, n=1, cutoff=0.5)
        raise ConfigError(
            f"setting '{name}.kind' is '{asked}', which is not a kind of engine; "
            + (f"did you mean '{close[0]}'? " if close else "")
            + f"Known: {', '.join(known)}"
        )
    try:
        kind = _further()[asked].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"engines of the kind '{asked}' could not be loaded: {error}") from error
    if not isinstance(kind, EngineKind):
        raise ConfigError(f"the entry point of '{asked}' names no EngineKind ({type(kind).__name__})")
    return kind


def in_process(name: str, settings: EngineSettings) -> bool:
    """Whether the model of section `name` is to compute in this process. Raises as `kind_of`."""
    return kind_of(name, settings).in_process


@cache
def _further() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group="specreason.engines")}
