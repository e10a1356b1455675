"""What a policy decides, and on what: two pure decisions over signals, measured when it asks for them.

A policy names a signal that it needs by answering `More(signal)`; it is asked again once the signal is
known. So a cascade, from free signals to dear ones, is a policy like any other.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from specreason.config.knobs import Section
from specreason.config.scheme import Role
from specreason.reasoning.signals.contract import Signal, Signals
from specreason.reasoning.signals.task import Task
from specreason.reasoning.steps import Step


@dataclass(frozen=True, slots=True)
class StepStart:
    """The place before a step: how many steps are kept, how the latest drafts fared (newest last)."""

    index: int
    outcomes: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Drafts:
    """The drafts of one step, each different. `favourite`: the likeliest one by its own tokens, from 0."""

    steps: tuple[Step, ...]
    favourite: int = 0

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True, slots=True)
class Write:
    """Let `role` write the next step."""

    role: Role


@dataclass(frozen=True, slots=True)
class Accept:
    """Keep draft `which`. `standing`: how many drafts would have been accepted, that one included."""

    which: int = 0
    standing: int = 1


@dataclass(frozen=True, slots=True)
class Reject:
    """Discard all drafts. `instead`: a step of the base model that is already there and takes their place.

    Without it the repair in force replaces the draft `which` (None: the favourite).
    """

    reason: str
    instead: Step | None = None
    which: int | None = None


@dataclass(frozen=True, slots=True)
class More:
    """Measure this signal and ask again. `drafts`: of these only, where it is about drafts one by one."""

    signal: Signal[Any]
    drafts: tuple[int, ...] | None = None


class Policy(Protocol):
    """A rule for one problem. Pure: the same arguments give the same answer."""

    def author(self, start: StepStart, known: Signals) -> Write | More:
        """Who writes the step at `start`."""
        ...

    def verdict(self, drafts: Drafts, known: Signals) -> Accept | Reject | More:
        """What becomes of the small model's drafts. `known` holds what was measured of the place, too."""
        ...


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A policy as it is found and set up."""

    name: str
    """The name of the scheme, and of the section [policy.NAME] that holds its knobs."""
    knobs: type[Section]
    """The class of its knobs; `Section` for none."""
    make: Callable[[Any, Task], Policy | Awaitable[Policy]]
    """Called with the knobs for each problem."""
    roles: tuple[Role, ...] = ("base", "small")
    """The models that write under it."""
    models: tuple[str, ...] = ()
    """Further models that it asks, by their names in [models.NAME]."""
    repairs: tuple[str, ...] | None = None
    """The values of `reasoning.on_reject` that go with it; None: all."""
    source: str = ""
    """Where the rule was published."""
