"""A signal: something that can be found out about a place in the chain or about drafts, and at what price."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast

from specreason.config.scheme import Role
from specreason.engines.protocol import Engine
from specreason.reasoning.chain import Chain
from specreason.reasoning.steps import Step

T = TypeVar("T")

Price = Literal["free", "small", "base", "other"]
"""The dearest that a signal asks: nobody, the small model, the base model, a further model."""

Subject = Literal["place", "draft", "drafts"]
"""What a signal is about: the place before a step, each draft for itself, all drafts of a step together."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where a signal is measured. What it asks of `engines` is counted and becomes events."""

    chain: Chain
    """The steps before."""
    drafts: tuple[Step, ...]
    """The drafts of the step; none where a place is looked at before it is drafted."""
    after: tuple[Chain, ...]
    """The chain with each of the drafts."""
    which: int
    """Number of the draft that the signal is about, from 0."""
    engines: Mapping[str, Engine]
    """By role, and by name those of the tables [models.NAME]."""
    session: str
    """The key to pass to the engines, which keeps the chain in their caches."""
    write: Callable[[Role], Awaitable[Step]]
    """A model's own step at this place."""

    @property
    def draft(self) -> Step:
        """The draft that the signal is about."""
        return self.drafts[self.which]

    @property
    def with_draft(self) -> Chain:
        """The chain with that draft."""
        return self.after[self.which]


@dataclass(frozen=True, slots=True)
class Reading:
    """A measured value as it is shown and recorded: a number if there is one, and what belongs to it."""

    value: float | None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


def as_number(value: object) -> Reading:
    """A number as it is, a step by its text, anything else as text."""
    match value:
        case Reading():
            return value
        case None:
            return Reading(None)
        case int() | float():
            return Reading(float(value))
        case Step():
            return Reading(None, {"text": value.text, "tokens": value.tokens})
        case _:
            return Reading(None, {"value": str(value)})


@dataclass(frozen=True, slots=True, eq=False)
class Signal(Generic[T]):
    """What to measure, and how. Compared by identity: make one for a problem and keep it.

    `reading`: how a value is recorded.
    """

    name: str
    price: Price
    measure: Callable[[Context], Awaitable[T]]
    of: Subject = "draft"
    reading: Callable[[T], Reading] = as_number


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement. `draft`: of which draft, None for a place or all drafts; `seconds` that it took."""

    signal: Signal[Any]
    draft: int | None
    value: Any
    seconds: float

    @property
    def reading(self) -> Reading:
        """The value as it is recorded."""
        return self.signal.reading(self.value)


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known so far about a place and the drafts there."""

    measured: tuple[Measured, ...] = ()

    def get(self, signal: Signal[T], draft: int = 0) -> T | None:
        """The value of a signal, of that draft where it is about drafts one by one; None if not measured."""
        found = self.of(signal, draft)
        return None if found is None else cast("T", found.value)

    def of(self, signal: Signal[Any], draft: int = 0) -> Measured | None:
        """The measurement itself."""
        about = draft if signal.of == "draft" else None
        return next((one for one in self.measured if one.signal is signal and one.draft == about), None)

    def plus(self, *measured: Measured) -> "Signals":
        """These and more."""
        return Signals((*self.measured, *measured))

    def readings(self, draft: int) -> dict[str, float | None]:
        """By name, the values about one draft, about all of them, and about their place."""
        return {one.signal.name: one.reading.value for one in self.measured if one.draft in {None, draft}}
