"""Settings as they are varied on the command line of a study: `--vary KEY=V1,V2`."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import JsonValue

from specreason.config import Settings, load_settings
from specreason.config.assignments import assignment, assignments, value_of
from specreason.config.load import setting_keys
from specreason.errors import ConfigError
from specreason.eval.cells import SCHEME, STUDIED, Cell, cells_of, flat, studied

_ALONE = ("base", "small")
# What differs between runs by itself, and what a session has only once.
_SEED = "sampling.seed"


def cells_from(
    vary: Sequence[str], concurrency: str, config: Path | None, pair: str | None, sets: Sequence[str]
) -> list[Cell]:
    """The cells; each value is checked like a setting. Raises ConfigError, which names key, value and fix.

    `sets`: the settings of all cells, KEY=VALUE. If neither names a scheme: that of the settings, and each
    model alone.
    """
    varied: dict[str, list[JsonValue]] = {}
    known = list(setting_keys())
    flags = {"pair": pair}
    for text in vary:
        key, values = assignment("--vary", text, known)
        if key in varied:
            raise ConfigError(f"--vary has '{key}' twice; write all of its values with commas between")
        if (section := key.partition(".")[0]) not in STUDIED:
            raise ConfigError(
                f"--vary {key}: models are opened once for a study, so they cannot differ in [{section}]; "
                "make a study for each value, and put them side by side with specreason eval compare"
            )
        if key == _SEED:
            raise ConfigError(f"--vary {key}: each run has a seed of its own; give --samples for more runs")
        varied[key] = [
            _checked(load_settings(config, flags, sets=sets, varied={key: value}), key)
            for value in _values("--vary", key, values)
        ]
    if SCHEME not in varied:
        own = _checked(load_settings(config, flags, sets=sets), SCHEME)
        named = SCHEME in assignments("--set", sets, known)
        varied[SCHEME] = [own] if named else list(dict.fromkeys([own, *_ALONE]))
    cells = list(cells_of(varied, _at_once(concurrency)))
    for key, values in varied.items():
        if len(values) > 1 and not any(key in dict(cell.overrides) for cell in cells):
            schemes = ", ".join(dict.fromkeys(cell.scheme for cell in cells))
            raise ConfigError(f"--vary {key} makes no difference under any scheme of the study ({schemes})")
    return cells


def _values(flag: str, key: str, text: str) -> list[Any]:
    """The values of a list: of TOML if it is such, else with commas between."""
    try:
        return cast("list[Any]", tomllib.loads(f"values = [{text}]")["values"])
    except tomllib.TOMLDecodeError:
        parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ConfigError(f"{flag} {key} is empty; give at least one value")
    return [value_of(part) for part in parts]


def _checked(settings: Settings, key: str) -> JsonValue:
    """A value as the settings keep it."""
    return flat(studied(settings))[key]


def _at_once(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if bad := [part for part in parts if not part.isdigit() or int(part) < 1]:
        raise ConfigError(f"--concurrency has '{bad[0]}': it must be whole numbers from 1, for example 1,16")
    return [int(part) for part in parts]
