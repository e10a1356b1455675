"""The axes of a grid as they are written on the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from specreason.config import Scheme, Settings, decodes, load_settings
from specreason.config.load import nearest
from specreason.errors import ConfigError
from specreason.eval.grid import Grid

_RANGE = ".."


def grid_of(
    axes: Mapping[str, str | None], config: Path | None, flags: Mapping[str, object], settings: Settings
) -> Grid:
    """The grid; what is not given is as in `settings`. Each value is checked like a setting."""

    def checked(key: str, flag: str, text: str | None, default: float) -> list[float]:
        if text is None:
            return [default]
        told: list[float] = []
        for value in _values(flag, text) if key == "token_budget" else _listed(flag, text):
            # Loading the settings with it checks range and type, and words the error.
            section = load_settings(config, {**flags, f"reasoning.{key}": value}).reasoning
            told.append(getattr(section, key))
        return told

    reasoning = settings.reasoning
    return Grid(
        schemes=schemes_of(axes.get("schemes")),
        thresholds=checked("threshold", "--thresholds", axes.get("thresholds"), reasoning.threshold),
        first_n=[
            int(n)
            for n in checked(
                "first_n_base_steps", "--first-n", axes.get("first_n"), reasoning.first_n_base_steps
            )
        ],
        budgets=[
            int(n) for n in checked("token_budget", "--budget", axes.get("budget"), reasoning.token_budget)
        ],
        concurrency=_at_once(axes.get("concurrency") or "1"),
    )


def schemes_of(text: str | None) -> list[Scheme]:
    """The schemes of a comma-separated list; if it is None, all that every pair can run."""
    known: tuple[Scheme, ...] = get_args(Scheme)
    if text is None:
        return [scheme for scheme in known if not decodes(scheme)]
    by_name: dict[str, Scheme] = {scheme: scheme for scheme in known}
    told: list[Scheme] = []
    for name in _parts("--schemes", text):
        if (found := by_name.get(name)) is None:
            raise ConfigError(f"--schemes has '{name}'; {nearest(name, list(known))}")
        told.append(found)
    return told


def _values(flag: str, text: str) -> list[str]:
    if _RANGE not in text:
        return _parts(flag, text)
    low, _, high = text.partition(_RANGE)
    if not (low.strip().isdigit() and high.strip().isdigit() and 0 < int(low) <= int(high)):
        raise ConfigError(
            f"{flag} is '{text}': a range is written LOW..HIGH, the lower first, for example 2048..16384"
        )
    doubled = [int(low)]
    while doubled[-1] * 2 <= int(high):
        doubled.append(doubled[-1] * 2)
    return [str(value) for value in doubled]


def _listed(flag: str, text: str) -> list[str]:
    if _RANGE in text:
        raise ConfigError(
            f"{flag} is '{text}': ranges are for --budget, where they double; write each value: 5,6,7"
        )
    return _parts(flag, text)


def _at_once(text: str) -> list[int]:
    parts = _parts("--concurrency", text)
    if bad := [part for part in parts if not part.isdigit() or int(part) < 1]:
        raise ConfigError(f"--concurrency has '{bad[0]}': it must be whole numbers from 1, for example 1,16")
    return [int(part) for part in parts]


def _parts(flag: str, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ConfigError(f"{flag} is empty; give at least one value")
    return parts
