"""What every source of weights shares with `pull`: how it reports progress, and how it gives up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from specreason.errors import ModelFileError


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage of a pull is; `done` and `total` in bytes of what that stage moves."""

    stage: Literal["hub", "registry", "joining"]
    done: int
    total: int


OnProgress = Callable[[Progress], None]
OnNotice = Callable[[str], None]


class SourceError(ModelFileError):
    """This source could not deliver; the next one may."""
