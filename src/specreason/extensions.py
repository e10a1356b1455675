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

Kind = Literal["policies", "schedules", "repairs"]

# The attribute of a module that holds what it adds.
_ATTRIBUTES: Mapping[Kind, str] = {"policies": "POLICY", "schedules": "SCHEDULE", "repairs": "REPAIR"}


def extensions(kind: Kind) -> Mapping[str, Any]:
    """All of one kind by name, our own first; without what could not be loaded (`broken`)."""
    return discovered(kind)[0]


def broken(kind: Kind) -> Mapping[str, str]:
    """Entry points that could not be loaded, by name: what is wrong with them."""
    return discovered(kind)[1]


@cache
def own(kind: Kind) -> Mapping[str, Any]:
    """Those of this package."""
    room = import_module(f"specreason.reasoning.{kind}")
    modules = (import_module(f"{room.__name__}.{module.name}") for module in iter_modules(room.__path__))
    found = (getattr(module, _ATTRIBUTES[kind], None) for module in modules)
    return {ours.name: ours for ours in found if ours is not None}


@cache
def discovered(kind: Kind) -> tuple[dict[str, Any], dict[str, str]]:
    """All that load, by name; of the other entry points what is wrong with them."""
    found, faults = dict(own(kind)), dict[str, str]()
    for entry in entry_points(group=f"specreason.{kind}"):
        where = f"entry point '{entry.name}' of {entry.group} ({entry.value})"
        try:
            theirs = entry.load()
            if theirs.name in found:
                faults[entry.name] = f"{where} is named '{theirs.name}', as another one is already"
            else:
                found[theirs.name] = theirs
        except Exception as error:  # whatever another package does while it is imported
            faults[entry.name] = f"{where} cannot be loaded: {type(error).__name__}: {error}"
    return found, faults
