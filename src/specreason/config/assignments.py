"""Settings as they are written on a command line: `KEY=VALUE`, where a short name stands for a dotted key."""

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any

from specreason.errors import ConfigError

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
    """A hint like `; did you mean 'threshold'?`, or the valid names if none is near."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if not close:
        leaves = {v.rsplit(".", 1)[-1]: v for v in valid}
        close = [leaves[m] for m in difflib.get_close_matches(name.rsplit(".", 1)[-1], list(leaves), 1, 0.6)]
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(valid)}"


def _key(flag: str, name: str, known: Sequence[str]) -> str:
    """The dotted key that a name stands for: itself, or the one of which it is the last part."""
    if name in known or (name.startswith("models.") and name.count(".") == 2):
        return name
    ends = [key for key in known if key.endswith(f".{name}") and key.partition(".")[0] in _SHORT]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ConfigError(f"{flag} {name}: several settings end so; write one of {', '.join(ends)}")
    raise ConfigError(f"{flag}: there is no setting '{name}'; {nearest(name, known)}")
