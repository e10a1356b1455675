"""All that one run is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from specreason.config import ReasoningSettings
from specreason.engines.chat_format import OpenTurn
from specreason.engines.protocol import Engine, Sampling
from specreason.errors import EngineError
from specreason.reasoning.chain import Role
from specreason.reasoning.plan import Planner
from specreason.reasoning.policies.contract import Policy
from specreason.reasoning.terms import Terms


@dataclass(frozen=True, slots=True)
class Run:
    """What a run needs. `turns`: each model's prompt, its turn opened. `judge_tokens`: room kept.

    `writers`: who writes in a model's place, where that is another engine than the one that judges.
    `lost`: why the small model is missing from the start, if it should have been there. `direct`: the answer
    is written at once and as it comes, where a model has no thinking block or goes on with a turn.
    """

    turns: Mapping[Role, OpenTurn]
    engines: Mapping[Role, Engine]
    policy: Policy
    planner: Planner
    settings: ReasoningSettings
    sampling: Sampling
    think_close: Mapping[Role, str]
    session: str
    judge_tokens: int = 0
    terms: Terms = field(default_factory=Terms)
    lost: EngineError | None = None
    direct: bool = False
    writers: Mapping[Role, Engine] = field(default_factory=dict[Role, Engine])

    def writer(self, role: Role) -> Engine:
        """The engine that writes as `role`."""
        return self.writers.get(role) or self.engines[role]
