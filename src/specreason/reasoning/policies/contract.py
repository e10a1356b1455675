"""What a policy decides, and on what: two pure decisions over signals that are measured when asked for.

A policy names a signal that it needs by answering `More(signal)`; it is asked again once the signal is
known. So a cascade, from free signals to dear ones, is a policy like any other.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from specreason.engines.protocol import Engine
from specreason.reasoning.chain import Chain, Role
from specreason.reasoning.steps import Step

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a signal is measured: the chain so far, the draft on the table, the chain if it stood.

    `draft` and `after` are None before a step is written.
    """

    chain: Chain
    draft: Step | None
    after: Chain | None
    engines: Mapping[Role, Engine]
    session: str


@dataclass(frozen=True, slots=True, eq=False)
class Signal(Generic[T]):
    """Something that can be found out about a situation, at a price. Compared by identity."""

    name: str
    measure: Callable[[Situation], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Known:
    """The signals measured so far in one situation."""

    values: Mapping[Signal[Any], Any] = field(default_factory=dict[Signal[Any], Any])

    def get(self, signal: Signal[T]) -> T | None:
        """The signal's value, None if it was not measured."""
        return self.values.get(signal)

    def plus(self, signal: Signal[T], value: T) -> "Known":
        """These signals and one more."""
        return Known({**self.values, signal: value})


@dataclass(frozen=True, slots=True)
class Write:
    """Let `role` write the next step."""

    role: Role


@dataclass(frozen=True, slots=True)
class Accept:
    """The draft stands. `merit`: of several drafts of one step the one with the most is taken."""

    merit: float = 0.0


@dataclass(frozen=True, slots=True)
class Reject:
    """The draft is discarded and the base model writes the step."""

    reason: str


@dataclass(frozen=True, slots=True)
class More:
    """Measure this signal and ask again."""

    signal: Signal[Any]


@dataclass(frozen=True, slots=True)
class Boundary:
    """The place before a step: how many steps are kept, how the latest drafts fared (newest last)."""

    index: int
    verdicts: tuple[bool, ...] = ()


class Policy(Protocol):
    """A rule for who writes and what stands. Pure: the same arguments give the same answer."""

    @property
    def name(self) -> str:
        """The name of the scheme."""
        ...

    @property
    def roles(self) -> tuple[Role, ...]:
        """The models that the rule needs."""
        ...

    def author(self, boundary: Boundary, known: Known) -> Write | More:
        """Who writes the step at `boundary`."""
        ...

    def verdict(self, draft: Step, known: Known) -> Accept | Reject | More:
        """Whether the small model's draft stands."""
        ...
