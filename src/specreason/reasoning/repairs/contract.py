"""What replaces a rejected draft. A repair knows chains, drafts and verdicts, and of no rule or engine."""

from dataclasses import dataclass
from typing import Protocol

from specreason.config.scheme import Role
from specreason.reasoning.chain import Chain
from specreason.reasoning.records import Origin
from specreason.reasoning.schedules.contract import Draft
from specreason.reasoning.steps import Step


@dataclass(frozen=True, slots=True)
class Rejected:
    """A draft that is not kept, and the chain before it. `reason`: the policy's, or repetition."""

    chain: Chain
    draft: Step
    reason: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """The step in its place. `seconds` waited for it; `kept`: tokens at its beginning from the draft."""

    step: Step
    seconds: float
    origin: Origin = "rewrite"
    kept: int = 0


class Repairing(Protocol):
    """What a repair works with; the loop provides it."""

    @property
    def max_step_tokens(self) -> int:
        """Most tokens of a step."""
        ...

    def left(self, chain: Chain) -> int:
        """Thinking tokens left after `chain`."""
        ...

    async def begin_writing(self, chain: Chain) -> None:
        """Let the base model begin its step after `chain`, for a `write` that may come."""
        ...

    async def write(self, chain: Chain, max_tokens: int) -> tuple[Step, float]:
        """The base model's step after `chain`, at most so many tokens, and the seconds waited for it."""
        ...

    async def read(self, chain: Chain, step: Step, author: Role) -> Chain:
        """`chain` with one more step, as each model reads it. Raises DrafterFailed."""
        ...

    async def cut(self, step: Step, length: int) -> Step:
        """The first `length` characters of a draft, as a step. Raises DrafterFailed."""
        ...

    async def accepts(self, chain: Chain, draft: Draft) -> bool:
        """Whether the policy accepts a draft after `chain`."""
        ...


class Repair(Protocol):
    """A value: hashable, without state. Its `name` is what `reasoning.on_reject` calls it."""

    @property
    def name(self) -> str:
        """The value of the setting."""
        ...

    @property
    def beside(self) -> bool:
        """Whether the base model works on it while the small model drafts."""
        ...

    async def begin(self, work: Repairing, chain: Chain) -> None:
        """A step after `chain` is about to be drafted."""
        ...

    async def __call__(self, work: Repairing, rejected: Rejected) -> Replacement:
        """The step that takes the draft's place."""
        ...
