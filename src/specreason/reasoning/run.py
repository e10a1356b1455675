"""All that one run is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from specreason.config import ReasoningSettings
from specreason.config.scheme import Role
from specreason.engines.chat_format import OpenTurn
from specreason.engines.protocol import Engine, Sampling
from specreason.errors import EngineError
from specreason.reasoning.options import RunOptions
from specreason.reasoning.planning.plan import Planner
from specreason.reasoning.policies.contract import Policy


@dataclass(frozen=True, slots=True)
class Run:
    """What a run needs."""

    turns: Mapping[Role, OpenTurn]
    """Each model's prompt, its turn opened."""
    engines: Mapping[Role, Engine]
    """The models of the chain."""
    policy: Policy
    """The rule, made for this problem."""
    roles: tuple[Role, ...]
    """The models that write under it."""
    planner: Planner
    """How the next steps are written."""
    settings: ReasoningSettings
    """The method."""
    sampling: Sampling
    """How tokens are drawn."""
    think_close: Mapping[Role, str]
    """The text that closes each model's thinking block."""
    session: str
    """The key of the conversation in the engines' caches."""
    room: int = 0
    """Tokens that the policy's questions need in the context besides the chain."""
    options: RunOptions = field(default_factory=RunOptions)
    """What the caller asks for beyond the method."""
    failure: EngineError | None = None
    """Why the small model is missing from the start, if it should be there."""
    direct: bool = False
    """The answer is written at once: no model has a thinking block, or a turn is gone on with."""
    writers: Mapping[Role, Engine] = field(default_factory=dict[Role, Engine])
    """Who writes in a model's place, where that is another engine than the one that judges."""
    further: Mapping[str, Engine] = field(default_factory=dict[str, Engine])
    """Further models that the policy asks, by name."""

    def writer(self, role: Role) -> Engine:
        """The engine that writes as `role`."""
        return self.writers.get(role) or self.engines[role]
