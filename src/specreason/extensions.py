"""What can be added without touching this package: policies, schedules and repairs.

Our own are the modules of one room each; other packages bring theirs by an entry point of the group
`specreason.policies`, `specreason.schedules` or `specreason.repairs` (docs/extending.md).
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any, Literal

from specreason.errors import ConfigError

Kind = Literal["policies", "schedules", "repairs"]

# The attribute of a module that holds what it adds.
_ATTRIBUTES: Mapping[Kind, str] = {"policies": "POLICY", "schedules": "SCHEDULE", "repairs": "REPAIR"}


@cache
def extensions(kind: Kind) -> Mapping[str, Any]:
    """All of one kind by name, our own first. Raises ConfigError for one that cannot be loaded."""
    room = import_module(f"specreason.reasoning.{kind}")
    found: dict[str, Any] = {}
    for module in iter_modules(room.__path__):
        ours = getattr(import_module(f"{room.__name__}.{module.name}"), _ATTRIBUTES[kind], None)
        if ours is not None:
            found[ours.name] = ours
    for entry in entry_points(group=f"specreason.{kind}"):
        where = f"entry point '{entry.name}' of {entry.group} ({entry.value})"
        try:
            theirs = entry.load()
        except Exception as error:  # whatever another package does while it is imported
            raise ConfigError(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
        if theirs.name in found:
            raise ConfigError(f"{where} is named '{theirs.name}', as another one is already")
        found[theirs.name] = theirs
    return found
