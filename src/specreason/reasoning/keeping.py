"""The record of a step, made where it is known how the step came about."""

from specreason.reasoning.policies.contract import Reject
from specreason.reasoning.records import Phase, StepRecord
from specreason.reasoning.repairs.contract import Replacement
from specreason.reasoning.schedules.contract import Verified
from specreason.reasoning.signals.contract import Signals
from specreason.reasoning.steps import Step


def unasked_record(index: int, step: Step, seconds: float, known: Signals, plan: str | None) -> StepRecord:
    """Of a step that the base model wrote without a draft before it; `known`: of its place."""
    spent: dict[Phase, float] = {"base": seconds}
    if known.measured:
        spent["score"] = sum(one.seconds for one in known.measured)
    return StepRecord(
        index, step.text, "base", "base", "unjudged", step.tokens, step.end,
        signals=known.readings(0), seconds=spent, plan=plan,
    )  # fmt: skip


def draft_record(index: int, verified: Verified, plan: str | None, *, judged: bool) -> StepRecord:
    """Of a draft that is kept; where there is nobody else to write, nobody `judged` it."""
    draft, drafted = verified.accepted, verified.drafted
    assert draft is not None
    assert not isinstance(verified.verdict, Reject)
    step = draft.step
    seconds: dict[Phase, float] = {"draft": drafted.seconds}
    if judged:
        seconds["score"] = verified.seconds
    return StepRecord(
        index=index,
        text=step.text,
        author="small",
        origin="draft",
        outcome="accepted" if judged else "unjudged",
        tokens=step.tokens,
        end=step.end,
        small_tokens=step.tokens,
        discarded=drafted.tokens - step.tokens,
        drafts=len(drafted.drafts) if judged else 0,
        standing=max(1, verified.verdict.standing) if judged else 0,
        which=verified.which,
        signals=verified.signals.readings(verified.which),
        seconds=seconds,
        plan=plan,
    )


def replaced_record(index: int, verified: Verified, replacement: Replacement, plan: str | None) -> StepRecord:
    """Of a step that took the place of rejected drafts."""
    drafted, step = verified.drafted, replacement.step
    assert isinstance(verified.verdict, Reject)
    seconds: dict[Phase, float] = {"draft": drafted.seconds, "score": verified.seconds}
    if replacement.origin != "instead":
        seconds["rewrite"] = replacement.seconds
    return StepRecord(
        index=index,
        text=step.text,
        author="base",
        origin=replacement.origin,
        outcome="rejected",
        tokens=step.tokens,
        end=step.end,
        small_tokens=replacement.kept,
        discarded=drafted.tokens - replacement.kept,
        drafts=len(drafted.drafts),
        which=verified.which,
        reason=verified.verdict.reason,
        draft=drafted.drafts[verified.which].step.text,
        signals=verified.signals.readings(verified.which),
        seconds=seconds,
        plan=plan,
    )
