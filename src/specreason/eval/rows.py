"""What is kept of one run for tables and figures, so that no report has to read the events again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from specreason.eval.grading import Grade
from specreason.reasoning.chain import Role
from specreason.reasoning.events import Event, Failed, StepAccepted, StepRejected, StepScored
from specreason.reasoning.result import Result


@dataclass(frozen=True, slots=True)
class Draft:
    """One step of a chain as it came about. `score`: of its draft. `verdict`: what became of the draft."""

    author: Role
    score: float | None
    verdict: Literal["accepted", "rejected", "none"]


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
    steps: Sequence[Draft]
    error: str | None = None
    degraded: str | None = None

    @property
    def hit_budget(self) -> bool:
        """Whether thinking was cut at its budget (or where the context was full)."""
        return self.ended in {"budget", "context"}


_VERDICTS: Mapping[str, Literal["accepted", "rejected", "none"]] = {
    "a": "accepted",
    "r": "rejected",
    "n": "none",
}


def steps_of(events: Sequence[Event], scheme: str) -> list[Draft]:
    """Author, score and verdict of each kept step."""
    steps: list[Draft] = []
    score: float | None = None
    rejected = False
    for event in events:
        match event:
            case StepScored():
                score = event.value
            case StepRejected():
                rejected = True
            case StepAccepted():
                judged = event.author == "small" and scheme != "small"
                verdict = "rejected" if rejected else "accepted" if judged else "none"
                steps.append(Draft(event.author, score, verdict))
                score, rejected = None, False
            case _:
                pass
    return steps


def steps_to_text(steps: Sequence[Draft]) -> str:
    """A few bytes a step: `sa7` is by the small model, accepted, scored 7; several separated by blanks."""
    return " ".join(
        f"{step.author[0]}{step.verdict[0]}{'' if step.score is None else f'{step.score:.3g}'}"
        for step in steps
    )


def steps_from_text(text: str) -> list[Draft]:
    """What `steps_to_text` wrote."""
    return [
        Draft("base" if s[0] == "b" else "small", float(s[2:]) if s[2:] else None, _VERDICTS[s[1]])
        for s in text.split()
    ]


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
        steps=steps_of(events, result.scheme),
        error=f"{failed.error}: {failed.message}" if failed else None,
        degraded=result.degraded,
    )


def _counts(tokens: Any) -> dict[str, int]:
    names = ("generated", "kept", "discarded", "prompt", "cached", "token_drafts", "token_drafts_kept")
    return {name: int(getattr(tokens, name)) for name in names}


def compact(value: object) -> str:
    """JSON without white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
