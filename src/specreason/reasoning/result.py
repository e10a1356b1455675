"""The result of a run: nothing but the fold of its events."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from specreason.reasoning.chain import Role
from specreason.reasoning.events import (
    AnswerDelta,
    CallEnded,
    DrafterLost,
    Ended,
    Event,
    Finished,
    Phase,
    Planned,
    Started,
    StepAccepted,
    StepDrafted,
    StepRejected,
    StepScored,
    ThinkingEnded,
)

RESULT_VERSION = 1


@dataclass(frozen=True, slots=True)
class KeptStep:
    """A step of the chain. `score` is that of the (best) draft, also where the base model rewrote it.

    `plan`: why it was drafted or not, where that is chosen step by step (`speculate = "auto"`). `salvaged`:
    how many of `tokens`, at the beginning, are a rejected draft's; they count as kept by the small model.
    """

    index: int
    author: Role
    text: str
    tokens: int
    seconds: float
    score: float | None
    rewritten: bool
    plan: str | None = None
    salvaged: int = 0


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one model. `prompt` and `cached` over the calls that told `cached`.

    `token_drafts`: proposed inside its engine, token by token; `token_drafts_kept`: those that came out.
    """

    generated: int = 0
    kept: int = 0
    discarded: int = 0
    prompt: int = 0
    cached: int = 0
    token_drafts: int = 0
    token_drafts_kept: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a problem.

    `answer`: what the text states, None if nothing; `answer_text`: as written. `drafts`: steps that were
    drafted, once or several times. `acceptance_rate`: share of them that stand, None without drafts.
    `seconds`: waited for the engines, by phase. `degraded`: why the base model had to go on alone.
    """

    scheme: str = ""
    models: Mapping[Role, str] = field(default_factory=dict[Role, str])
    answer: str | None = None
    answer_text: str = ""
    steps: tuple[KeptStep, ...] = ()
    ended: Ended | None = None
    drafts: int = 0
    accepted: int = 0
    unscorable: int = 0
    tokens: Mapping[Role, Tokens] = field(default_factory=dict[Role, Tokens])
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
        """Share of the drafts that were kept, 0 to 1; None where no draft was judged (scheme small)."""
        return self.accepted / self.drafts if self.drafts and self.scheme != "small" else None

    @property
    def cached_token_share(self) -> float | None:
        """Share of all prompt tokens that the engines took from their caches, by their own count."""
        prompt = sum(tokens.prompt for tokens in self.tokens.values())
        return sum(tokens.cached for tokens in self.tokens.values()) / prompt if prompt else None

    def as_dict(self) -> dict[str, Any]:
        """The result for JSON, with what is derived from it."""
        return asdict(self) | {
            "thinking": self.thinking,
            "acceptance_rate": self.acceptance_rate,
            "cached_token_share": self.cached_token_share,
        }


class Tally:
    """A result in the making: takes events one at a time, tells the result so far at any time."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._steps: list[KeptStep] = []
        self._answer_text: list[str] = []
        self._answer: str | None = None
        self._ended: Ended | None = None
        self._finished = False
        self._degraded: str | None = None
        self._drafts = self._accepted = self._unscorable = 0
        self._tokens: dict[Role, Tokens] = {}
        self._seconds: dict[Phase, float] = {}
        self._at = 0.0
        self._on_table: Literal["nothing", "draft", "rejected"] = "nothing"
        self._scores: dict[int, float | None] = {}
        self.plan: str | None = None  # why the next steps are written as they are, where that is chosen

    def take(self, event: Event) -> None:
        """Count one more event."""
        self._at = event.at
        match event:
            case Started():
                self._started = event
            case Planned():
                self.plan = event.reason
            case StepDrafted():
                self._drafts += event.sample == 0
                self._on_table = "draft"
            case StepScored():
                self._scores[event.sample] = event.value
                self._unscorable += event.value is None
            case StepRejected():
                self._on_table = "rejected"
                self._count("small", discarded=event.tokens)
            case StepAccepted():
                self._keep(event)
            case CallEnded():
                self._call(event)
            case DrafterLost():
                self._degraded, self.plan = event.reason, None
            case ThinkingEnded():
                self._ended = event.reason
            case AnswerDelta():
                self._answer_text.append(event.text)
            case Finished():
                self._answer, self._finished = event.answer, True
            case _:
                pass

    def result(self) -> Result:
        """The result of the events so far."""
        return Result(
            scheme=self._started.scheme if self._started else "",
            models=self._started.models if self._started else {},
            answer=self._answer,
            answer_text="".join(self._answer_text),
            steps=tuple(self._steps),
            ended=self._ended,
            drafts=self._drafts,
            accepted=self._accepted,
            unscorable=self._unscorable,
            tokens=dict(self._tokens),
            seconds=dict(self._seconds),
            total_s=self._at,
            degraded=self._degraded,
            finished=self._finished,
        )

    def _keep(self, event: StepAccepted) -> None:
        self._accepted += self._on_table == "draft"
        rewritten = self._on_table == "rejected"
        score = max((s for s in self._scores.values() if s is not None), default=None)
        told = (event.index, event.author, event.text, event.tokens, event.seconds)
        self._steps.append(KeptStep(*told, score, rewritten, self.plan, event.salvaged))
        self._count(event.author, kept=event.tokens - event.salvaged)
        if event.salvaged:
            self._count("small", kept=event.salvaged)
        if event.outdone:
            self._count("small", discarded=event.outdone)
        self._on_table, self._scores = "nothing", {}

    def _call(self, event: CallEnded) -> None:
        told = event.cached_tokens is not None and event.prompt_tokens is not None
        self._count(
            event.role,
            generated=event.generated_tokens,
            discarded=event.generated_tokens - event.delivered_tokens,
            kept=event.delivered_tokens if event.phase == "answer" else 0,
            prompt=(event.prompt_tokens or 0) if told else 0,
            cached=event.cached_tokens or 0,
            token_drafts=event.token_drafts or 0,
            token_drafts_kept=event.token_drafts_kept or 0,
        )
        self._seconds[event.phase] = self._seconds.get(event.phase, 0.0) + event.seconds

    def _count(self, role: Role, **counts: int) -> None:
        before = self._tokens.get(role, Tokens())
        grown = {name: getattr(before, name) + count for name, count in counts.items()}
        self._tokens[role] = replace(before, **grown)


def fold(events: Iterable[Event]) -> Result:
    """The result that `events` tell."""
    tally = Tally()
    for event in events:
        tally.take(event)
    return tally.result()
