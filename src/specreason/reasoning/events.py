"""What happens while a problem is solved. Everyone listens, nobody reaches in.

`at` is seconds since the start. Events are frozen and are written to traces as they stand, one JSON object a
line (`TRACE_VERSION`; docs/trace.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from specreason.config.scheme import Role
from specreason.engines.protocol import Finish
from specreason.reasoning.records import Phase, StepRecord
from specreason.reasoning.steps import End

TRACE_VERSION = 2

Ended = Literal["closed", "stopped", "answer", "budget", "context", "repetition"]
"""Why thinking ended: the model closed its block, stopped, stated the answer; we closed it for the rest."""


@dataclass(frozen=True, slots=True)
class Started:
    """The run begins. `settings`: of the method, the policy and the sampling.

    `prompt_tokens`: of the problem as each model reads it; None where the engine takes text only.
    """

    at: float
    scheme: str
    models: Mapping[Role, str]
    thinking: bool
    problem: str
    settings: Mapping[str, Any]
    version: str
    trace_version: int = TRACE_VERSION
    prompt_tokens: Mapping[Role, int | None] = field(default_factory=dict[Role, int | None])
    event: Literal["started"] = "started"


@dataclass(frozen=True, slots=True)
class StepDrafted:
    """The small model wrote a step. `tokens` generated, `seconds` waited for it.

    `sample`: of several drafts of one step each has a number, from 0.
    """

    at: float
    index: int
    text: str
    tokens: int
    seconds: float
    end: End
    sample: int = 0
    event: Literal["step_drafted"] = "step_drafted"


@dataclass(frozen=True, slots=True)
class SignalMeasured:
    """The policy had something measured about step `index`.

    `draft`: about which draft (`StepDrafted.sample`), None for the place or all drafts together. `value`:
    None where nothing could be read, or it is no number. `seconds`: waited for it.
    """

    at: float
    index: int
    draft: int | None
    name: str
    value: float | None
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    event: Literal["signal_measured"] = "signal_measured"


@dataclass(frozen=True, slots=True)
class StepRejected:
    """No draft of a step is accepted. `tokens`: of all its drafts.

    `reason`: score, unscorable, repetition, or a policy's own.
    """

    at: float
    index: int
    reason: str
    tokens: int
    event: Literal["step_rejected"] = "step_rejected"


@dataclass(frozen=True, slots=True)
class StepKept:
    """A step is kept: the one event of every step of the chain."""

    at: float
    step: StepRecord
    event: Literal["step_kept"] = "step_kept"


@dataclass(frozen=True, slots=True)
class Planned:
    """From step `index` on steps are written this way, until the next event of this kind; see `plan.Plan`."""

    at: float
    index: int
    author: Role
    lookahead: int
    drafts: int
    on_reject: str
    reason: str
    event: Literal["planned"] = "planned"


@dataclass(frozen=True, slots=True)
class CallEnded:
    """One engine call is over.

    `role`: base, small, or the name of a further model. `signal`: what was measured with it, if anything.
    `delivered_tokens` went into steps or the answer; what was generated beyond them is discarded.
    `token_drafts`: tokens that the engine's own drafter proposed, `token_drafts_kept`: those of them that
    came out. None: the engine does not say.
    """

    at: float
    role: str
    phase: Phase
    prompt_tokens: int | None
    cached_tokens: int | None
    generated_tokens: int
    delivered_tokens: int
    seconds: float
    prefill_s: float | None
    decode_s: float | None
    finish: Finish
    token_drafts: int | None = None
    token_drafts_kept: int | None = None
    signal: str | None = None
    event: Literal["call_ended"] = "call_ended"


@dataclass(frozen=True, slots=True)
class Fallback:
    """The small model failed; the base model goes on alone."""

    at: float
    reason: str
    event: Literal["fallback"] = "fallback"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The model that the run depends on failed; the run waits for it, to go on after the last step."""

    at: float
    reason: str
    event: Literal["interrupted"] = "interrupted"


@dataclass(frozen=True, slots=True)
class ThinkingEnded:
    """The chain is complete."""

    at: float
    reason: Ended
    steps: int
    tokens: int
    event: Literal["thinking_ended"] = "thinking_ended"


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """More of the answer."""

    at: float
    text: str
    event: Literal["answer_delta"] = "answer_delta"


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over. `answer`: what the text states, None if it states nothing."""

    at: float
    answer: str | None
    event: Literal["finished"] = "finished"


@dataclass(frozen=True, slots=True)
class Failed:
    """The run broke off; the error is raised after this event."""

    at: float
    error: str
    message: str
    event: Literal["failed"] = "failed"


Event = (
    Started
    | StepDrafted
    | SignalMeasured
    | StepRejected
    | StepKept
    | Planned
    | CallEnded
    | Fallback
    | Interrupted
    | ThinkingEnded
    | AnswerDelta
    | Finished
    | Failed
)

_adapter: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def to_json(event: Event) -> str:
    """One line of a trace, without the line break."""
    return _adapter.dump_json(event).decode()


def from_json(line: str | bytes) -> Event:
    """The event of a line of a trace. Raises pydantic.ValidationError if it is none."""
    return _adapter.validate_json(line)


def json_schema() -> dict[str, Any]:
    """JSON Schema of a line of a trace."""
    return _adapter.json_schema()
