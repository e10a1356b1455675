"""What one choice cost and how it went, from its events: usage, reports of steps, the finish reason."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from specreason.reasoning.events import (
    AnswerDelta,
    CallEnded,
    Event,
    Fallback,
    Interrupted,
    Started,
    ThinkingEnded,
)
from specreason.reasoning.result import Result, Tally
from specreason.server.replies import (
    ChoiceReport,
    CompletionDetails,
    FinishReason,
    ModelTokens,
    PromptDetails,
    Usage,
)

SMALL_FAILED = "the small model's server failed"


class Account:
    """Takes the events of one choice, one at a time; can be read at any time."""

    def __init__(self, index: int, *, include_steps: bool) -> None:
        self.index = index
        self.called = False  # the answer calls tools
        self.faults: list[str] = []  # messages of failed engines; for the log, not for clients
        self.include_steps = include_steps
        self._tally = Tally()
        self._prompt_tokens: dict[str, int | None] = {}
        self._reported_prompt: int | None = None  # by the servers, where we do not count tokens ourselves
        self._cached: int | None = None
        self._drafted = 0
        self._answer_tokens = 0
        self._answer_pieces = 0  # of the call that is open: about a token each
        self._answered = False
        self._cut = False
        self._closed_for_it = False
        self._interruptions = 0

    def take(self, event: Event) -> None:
        """Count one more event."""
        self._tally.take(event)
        match event:
            case Started():
                self._prompt_tokens = {**event.prompt_tokens}
            case CallEnded():
                self._call(event)
            case ThinkingEnded():
                self._closed_for_it = event.reason in {"budget", "context"}
            case AnswerDelta():
                self._answered = True  # also where a stop text left nothing of it
                self._answer_pieces += 1
            case Fallback():
                self.faults.append(event.reason)
            case Interrupted():
                self.faults.append(event.reason)
                self._interruptions += 1
            case _:
                pass

    @property
    def result(self) -> Result:
        """The result so far."""
        return self._tally.result()

    @property
    def finish_reason(self) -> FinishReason:
        """`length` if the answer was cut short, or there was no room for one."""
        if self._cut or (self._closed_for_it and not self._answered):
            return "length"
        return "tool_calls" if self.called else "stop"

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the conversation as the model that answers reads it.

        Where its server accepts text only: what a server reported for its shortest prompt.
        """
        counts = [*(self._prompt_tokens.get(role) for role in ("base", "small")), self._reported_prompt]
        return next((count for count in counts if count is not None), 0)

    @property
    def cached_tokens(self) -> int:
        """Those of them that the first call found in the cache."""
        return min(self._cached or 0, self.prompt_tokens)

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of the kept steps."""
        return sum(step.tokens for step in self.result.steps)

    @property
    def completion_tokens(self) -> int:
        """Tokens of the kept steps and of the answer; an estimate while the answer is written."""
        return self.reasoning_tokens + self._answer_tokens + self._answer_pieces

    def models(self) -> dict[str, ModelTokens]:
        """All tokens, for each model."""
        return {
            role: ModelTokens(
                drafted=self._drafted if role == "small" else 0, discarded=tokens.discarded, **asdict(tokens)
            )
            for role, tokens in self.result.tokens.items()
        }

    def report(self, *, steps: bool) -> ChoiceReport:
        """How the choice came about; with its `steps`, if they were asked for."""
        result = self.result
        return ChoiceReport(
            index=self.index,
            scheme=result.scheme,
            models=dict(result.models),
            ended=result.ended,
            # The engine's own message names addresses, which clients must not see.
            degraded=None if result.degraded is None else SMALL_FAILED,
            interruptions=self._interruptions,
            answer=result.answer,
            drafts=result.drafts,
            accepted=result.accepted,
            rejections=dict(result.rejections),
            acceptance_rate=result.acceptance_rate,
            seconds=dict(result.seconds),
            steps=list(result.steps) if steps and self.include_steps else None,
        )

    def _call(self, event: CallEnded) -> None:
        if event.phase == "draft":
            self._drafted += event.generated_tokens
        if event.phase == "answer":
            self._answered = True
            self._answer_tokens += event.delivered_tokens
            self._answer_pieces = 0
            self._cut = event.finish == "length"
        self._measure_prompt(event)
        if self._cached is None and event.cached_tokens is not None and event.role in self._counted():
            self._cached = event.cached_tokens

    def _measure_prompt(self, event: CallEnded) -> None:
        """Take the shortest prompt that a server reported; the one before the answer holds all steps."""
        reported = event.prompt_tokens
        if not reported or (event.phase == "answer" and self._reported_prompt):
            return
        if event.phase == "answer" and reported > self.reasoning_tokens:
            reported -= self.reasoning_tokens
        self._reported_prompt = min(self._reported_prompt or reported, reported)

    def _counted(self) -> Sequence[str]:
        return ("base",) if "base" in self._prompt_tokens else ("small",)


def usage(accounts: Iterable[Account]) -> Usage:
    """The usage of all choices of a request; the conversation is counted once."""
    choices = list(accounts)
    prompt = max((account.prompt_tokens for account in choices), default=0)
    completion = sum(account.completion_tokens for account in choices)
    models = defaultdict[str, Counter[str]](Counter)
    for account in choices:
        for role, tokens in account.models().items():
            models[role].update(tokens.model_dump())
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptDetails(
            cached_tokens=max((account.cached_tokens for account in choices), default=0)
        ),
        completion_tokens_details=CompletionDetails(
            reasoning_tokens=sum(account.reasoning_tokens for account in choices)
        ),
        specreason={role: ModelTokens(**counts) for role, counts in models.items()},
    )
