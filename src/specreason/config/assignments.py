"""Settings as they are written on a command line: `KEY=VALUE`, where a short name stands for a dotted key."""

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any

from specreason.errors import ConfigError
from specreason.extensions import own

_MANY = 20  # names, more than an error should list
# Short names are looked for only where they say what is meant.
_SHORT = ("reasoning", "sampling", "policy")


def assignments(flag: str, texts: Iterable[str], known: Sequence[str]) -> dict[str, Any]:
    """Values by dotted key; `known` are the keys that there are. Raises ConfigError."""
    found: dict[str, Any] = {}
    for text in texts:
        key, value = assignment(flag, text, known)
        found[key] = value_of(value)
    return found


def assignment(flag: str, text: str, known: Sequence[str]) -> tuple[str, str]:
    """The dotted key, and the text behind the sign."""
    name, equals, value = text.partition("=")
    if not equals or not value.strip():
        raise ConfigError(f"{flag} is '{text}'; write KEY=VALUE, for example {flag} token_budget=2048")
    return _key(flag, name.strip(), known), value.strip()


def value_of(text: str) -> Any:
    """A value of TOML, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def nearest(name: str, valid: Sequence[str]) -> str:
    """A hint like `; did you mean 'threshold'?`, or the valid names if none is near.

    The last part of a name says most: the section may have changed, or may be forgotten.
    """
    leaves: dict[str, list[str]] = {}
    for one in valid:
        leaves.setdefault(_leaf(one), []).append(one)
    alike = difflib.get_close_matches(_leaf(name), leaves, n=1, cutoff=0.8)
    near = leaves[alike[0]] if alike else valid
    close = difflib.get_close_matches(name, near, n=1, cutoff=0.2 if alike else 0.7)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"valid: {', '.join(valid)}" if len(valid) < _MANY else "specreason config --explain lists all"


def _leaf(name: str) -> str:
    return name.replace("__", ".").rpartition(".")[2]


def _key(flag: str, name: str, known: Sequence[str]) -> str:
    """The dotted key that a name stands for: itself, or the one of which it is the last part."""
    if name in known or (name.startswith("models.") and name.count(".") == 2):
        return name
    ends = [key for key in known if key.endswith(f".{name}") and key.partition(".")[0] in _SHORT]
    ours = [key for key in ends if not key.startswith("policy.") or key.split(".")[1] in own("policies")]
    if len(ours or ends) == 1:
        return (ours or ends)[0]
    if ends:
        raise ConfigError(f"{flag} {name}: several settings end so; write one of {', '.join(ends)}")
    raise ConfigError(f"{flag}: there is no setting '{name}'; {nearest(name, known)}")
