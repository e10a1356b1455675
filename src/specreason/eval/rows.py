"""What is kept of one run for tables and figures, so that no report has to read the events again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specreason.config.scheme import Role
from specreason.eval.grading import Grade
from specreason.reasoning.events import Event, Failed
from specreason.reasoning.records import Origin, Outcome
from specreason.reasoning.result import Result


@dataclass(frozen=True, slots=True)
class KeptStep:
    """What tables and figures need of a step; see `records.StepRecord`."""

    author: Role
    origin: Origin
    outcome: Outcome
    signals: Mapping[str, float | None]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One run. `position` of its problem in the task; `tokens` by role, `phases` seconds by phase.

    `error`: why it broke off; such a run counts as wrong, and is counted apart. `seconds` is the wall time
    from the question to the last token.
    """

    position: int
    cell: str
    sample: int
    seed: int
    session: int
    started_at: float
    seconds: float
    right: bool
    reason: str
    answer: str | None
    ended: str | None
    thinking_tokens: int
    drafts: int
    accepted: int
    unscorable: int
    tokens: Mapping[str, Mapping[str, int]]
    phases: Mapping[str, float]
    steps: Sequence[KeptStep]
    error: str | None = None
    degraded: str | None = None

    @property
    def hit_budget(self) -> bool:
        """Whether thinking was cut at its budget (or where the context was full)."""
        return self.ended in {"budget", "context"}


def steps_to_text(steps: Sequence[KeptStep]) -> str:
    """JSON: a list of author, origin, outcome, signals and reason for each step."""
    return compact(
        [[step.author, step.origin, step.outcome, dict(step.signals), step.reason] for step in steps]
    )


def steps_from_text(text: str) -> list[KeptStep]:
    """What `steps_to_text` wrote."""
    return [KeptStep(*step) for step in json.loads(text)]


def row_of(
    *,
    position: int,
    cell: str,
    sample: int,
    seed: int,
    session: int,
    started_at: float,
    seconds: float,
    events: Sequence[Event],
    result: Result,
    grade: Grade,
) -> Row:
    """The row of a run of which `events` are the record."""
    failed = next((event for event in events if isinstance(event, Failed)), None)
    return Row(
        position=position,
        cell=cell,
        sample=sample,
        seed=seed,
        session=session,
        started_at=started_at,
        seconds=seconds,
        right=grade.right,
        reason=grade.reason,
        answer=result.answer,
        ended=result.ended,
        thinking_tokens=sum(step.tokens for step in result.steps),
        drafts=result.drafts,
        accepted=result.accepted,
        unscorable=result.unscorable,
        tokens={role: _counts(tokens) for role, tokens in result.tokens.items()},
        phases={phase: round(seconds, 6) for phase, seconds in result.seconds.items()},
        steps=[
            KeptStep(step.author, step.origin, step.outcome, step.signals, step.reason)
            for step in result.steps
        ],
        error=f"{failed.error}: {failed.message}" if failed else None,
        degraded=result.degraded,
    )


def _counts(tokens: Any) -> dict[str, int]:
    names = (
        "generated",
        "kept",
        "discarded",
        "scored",
        "prompt",
        "cached",
        "token_drafts",
        "token_drafts_kept",
    )
    return {name: int(getattr(tokens, name)) for name in names}


def compact(value: object) -> str:
    """JSON without white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
