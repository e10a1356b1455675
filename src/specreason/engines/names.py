"""What the engines of a pair are called."""

from collections.abc import Iterable
from typing import Final, Literal

from specreason.config import Scheme

EngineName = Literal["base", "small", "base+decode"]
"""A model by its role, or the base model with token-level speculation."""

DECODER: Final = "base+decode"


def engines_of(schemes: Iterable[Scheme]) -> tuple[EngineName, ...]:
    """The engines that any of these schemes needs, each once."""
    return tuple(
        dict.fromkeys(
            DECODER if role == "base" and scheme.decode else role
            for scheme in schemes
            for role in scheme.roles
        )
    )
