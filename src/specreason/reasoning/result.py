"""The result of a run: its steps as the loop recorded them, and what its calls add up to."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from specreason.config.scheme import Role
from specreason.reasoning.events import (
    AnswerDelta,
    CallEnded,
    Ended,
    Event,
    Fallback,
    Finished,
    Started,
    StepKept,
    StepRejected,
    ThinkingEnded,
)
from specreason.reasoning.records import Phase, StepRecord

RESULT_VERSION = 2


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one model: `kept`, `scored` and `discarded` add up to `generated`."""

    generated: int = 0
    """In all calls that are over."""
    kept: int = 0
    """In the chain and in the answer."""
    scored: int = 0
    """Written while something was measured, and kept nowhere."""
    prompt: int = 0
    """Of the prompts of calls whose engine reports how much of them its cache held."""
    cached: int = 0
    """Of those, in the cache."""
    token_drafts: int = 0
    """Proposed inside its engine, token by token."""
    token_drafts_kept: int = 0
    """Of those, generated."""

    @property
    def discarded(self) -> int:
        """In rejected and unused drafts, and beyond the end of a step."""
        return max(0, self.generated - self.kept - self.scored)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a problem.

    `answer`: what the text states, None if nothing; `answer_text`: as written. `drafts`: steps whose drafts
    were judged; `accepted`: those of which one was kept; `rejections`: the others, by reason. `tokens`: by
    role, and by name for further models. `seconds`: waited for the engines, by phase. `degraded`: why the
    base model had to go on alone.
    """

    scheme: str = ""
    models: Mapping[Role, str] = field(default_factory=dict[Role, str])
    answer: str | None = None
    answer_text: str = ""
    steps: tuple[StepRecord, ...] = ()
    ended: Ended | None = None
    drafts: int = 0
    accepted: int = 0
    rejections: Mapping[str, int] = field(default_factory=dict[str, int])
    tokens: Mapping[str, Tokens] = field(default_factory=dict[str, Tokens])
    seconds: Mapping[Phase, float] = field(default_factory=dict[Phase, float])
    total_s: float = 0.0
    degraded: str | None = None
    finished: bool = False
    result_version: int = RESULT_VERSION

    @property
    def thinking(self) -> str:
        """The chain as text."""
        return "".join(step.text for step in self.steps)

    @property
    def acceptance_rate(self) -> float | None:
        """Share of the drafts that were kept, 0 to 1; None where no draft was judged."""
        return self.accepted / self.drafts if self.drafts else None

    @property
    def unscorable(self) -> int:
        """Steps whose draft was rejected because the judge's reply was no score."""
        return self.rejections.get("unscorable", 0)

    @property
    def cached_token_share(self) -> float | None:
        """Share of all prompt tokens that the engines took from their caches, by their own count."""
        prompt = sum(tokens.prompt for tokens in self.tokens.values())
        return sum(tokens.cached for tokens in self.tokens.values()) / prompt if prompt else None

    def as_dict(self) -> dict[str, Any]:
        """The result for JSON, with what is derived from it."""
        tokens = {role: asdict(t) | {"discarded": t.discarded} for role, t in self.tokens.items()}
        return asdict(self) | {
            "tokens": tokens,
            "thinking": self.thinking,
            "acceptance_rate": self.acceptance_rate,
            "unscorable": self.unscorable,
            "cached_token_share": self.cached_token_share,
        }


class Tally:
    """A result in the making: takes events one at a time, gives the result so far at any time."""

    def __init__(self) -> None:
        self._result = Result()
        self._steps: list[StepRecord] = []
        self._answer_text: list[str] = []
        self._tokens: dict[str, Tokens] = {}
        self._seconds: dict[Phase, float] = {}

    def take(self, event: Event) -> None:
        """Count one more event."""
        result = replace(self._result, total_s=event.at)
        match event:
            case Started():
                result = replace(result, scheme=event.scheme, models=event.models)
            case StepRejected(reason=reason):
                rejections = {**result.rejections, reason: result.rejections.get(reason, 0) + 1}
                result = replace(result, drafts=result.drafts + 1, rejections=rejections)
            case StepKept(step=step):
                self._keep(step)
                accepted = step.outcome == "accepted"
                drafts, kept = result.drafts + accepted, result.accepted + accepted
                result = replace(result, drafts=drafts, accepted=kept)
            case CallEnded():
                self._call(event)
            case Fallback():
                result = replace(result, degraded=event.reason)
            case ThinkingEnded():
                result = replace(result, ended=event.reason)
            case AnswerDelta():
                self._answer_text.append(event.text)
            case Finished():
                result = replace(result, answer=event.answer, finished=True)
            case _:
                pass
        self._result = result

    def result(self) -> Result:
        """The result of the events so far."""
        return replace(
            self._result,
            answer_text="".join(self._answer_text),
            steps=tuple(self._steps),
            tokens=dict(self._tokens),
            seconds=dict(self._seconds),
        )

    def _keep(self, step: StepRecord) -> None:
        self._steps.append(step)
        if step.small_tokens:
            self._count("small", kept=step.small_tokens)
        if step.base_tokens:
            # What was written to measure something is kept after all.
            scored = -step.base_tokens if step.origin == "instead" else 0
            self._count("base", kept=step.base_tokens, scored=scored)

    def _call(self, event: CallEnded) -> None:
        known = event.cached_tokens is not None and event.prompt_tokens is not None
        self._count(
            event.role,
            generated=event.generated_tokens,
            kept=event.delivered_tokens if event.phase == "answer" else 0,
            scored=event.generated_tokens if event.phase == "score" else 0,
            prompt=(event.prompt_tokens or 0) if known else 0,
            cached=event.cached_tokens or 0,
            token_drafts=event.token_drafts or 0,
            token_drafts_kept=event.token_drafts_kept or 0,
        )
        self._seconds[event.phase] = self._seconds.get(event.phase, 0.0) + event.seconds

    def _count(self, role: str, **counts: int) -> None:
        before = self._tokens.get(role, Tokens())
        grown = {name: getattr(before, name) + count for name, count in counts.items()}
        self._tokens[role] = replace(before, **grown)


def fold(events: Iterable[Event]) -> Result:
    """The result of `events`."""
    tally = Tally()
    for event in events:
        tally.take(event)
    return tally.result()
