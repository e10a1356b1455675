"""Steps on a terminal, as they are decided."""

from rich.console import Console
from rich.text import Text

from specreason.config import ReasoningSettings
from specreason.reasoning.events import (
    AnswerDelta,
    DrafterLost,
    Event,
    Phase,
    Planned,
    Started,
    StepAccepted,
    StepRejected,
    StepScored,
    ThinkingEnded,
)
from specreason.reasoning.result import Result

_ENDED = {
    "closed": "the model closed its thinking",
    "stopped": "the model had no more to say",
    "answer": "the answer is stated",
    "budget": "the thinking budget is used up",
    "context": "the context is full",
    "repetition": "the model repeats itself",
}

_PHASES: dict[Phase, str] = {
    "draft": "draft",
    "score": "score",
    "rewrite": "rewrite",
    "base": "base steps",
    "answer": "answer",
}


class StepDisplay:
    """Prints each kept step with who wrote it, and what became of rejected drafts."""

    def __init__(self, console: Console, settings: ReasoningSettings) -> None:
        self._console = console
        self._threshold = settings.threshold
        self._score: float | None = None
        self._rejected: str | None = None
        self._undrafted = ""  # why the next steps are not drafted, if that is chosen
        self._answering = False
        self._plain = False

    def show(self, event: Event) -> None:
        """Print what `event` tells, if anything."""
        match event:
            case Started():
                self._plain = not event.thinking
                models = ", ".join(f"{role} {model}" for role, model in event.models.items())
                self._console.print(f"{event.scheme}: {models}", style="dim", markup=False)
            case Planned():
                self._undrafted = f" ({event.reason})" if event.author == "base" else ""
            case StepScored():
                self._score = event.value
            case StepRejected():
                self._rejected = event.reason
            case StepAccepted():
                self._step(event)
            case DrafterLost():
                self._undrafted = ""
                self._console.print(f"the small model is lost: {event.reason}", style="yellow", markup=False)
            case ThinkingEnded():
                self._console.print(f"\n{_ENDED[event.reason]}", style="dim", markup=False)
            case AnswerDelta() if not self._plain or self._answering or "boxed" in event.text:
                self._answering = True
                self._console.print(event.text, end="", markup=False)
            case _:
                pass

    def summary(self, result: Result) -> None:
        """The answer, one line of account, and how to go on."""
        if self._answering:
            self._console.print()
        shown = result.answer if result.answer is not None else "none stated"
        self._console.print(Text.assemble("\nanswer: ", (shown, "bold green")))
        self._console.print(account(result), style="dim", markup=False)

    def _step(self, event: StepAccepted) -> None:
        if event.author == "small":
            score = "" if self._score is None else f" (score {self._score:.3g})"
            head, style = f"drafted, accepted{score}", "green"
        elif self._rejected:
            score = f", score {self._score:.3g} < {self._threshold:g}" if self._score is not None else ""
            stays = f"; its first {event.salvaged} tokens stay" if event.salvaged else ""
            head = f"rewritten by the base model (draft rejected: {self._rejected}{score}{stays})"
            style = "yellow"
        else:
            head, style = f"written by the base model{self._undrafted}", "cyan"
        self._console.print(Text(f"\n[{event.index + 1}] {head}", style=style))
        self._console.print(event.text.strip(), markup=False)
        self._score, self._rejected = None, None


def account(result: Result) -> str:
    """One line: steps, acceptance rate, tokens by model, seconds by phase."""
    parts = [f"{len(result.steps)} steps"]
    if result.acceptance_rate is not None:
        parts.append(f"{result.acceptance_rate:.0%} of {result.drafts} drafts accepted")
    parts += [
        f"{role} {tokens.kept} tokens kept, {tokens.discarded} discarded"
        for role, tokens in result.tokens.items()
    ]
    seconds = " + ".join(
        f"{name} {result.seconds[phase]:.1f}" for phase, name in _PHASES.items() if phase in result.seconds
    )
    parts.append(f"{result.total_s:.1f} s ({seconds})")
    return "; ".join(parts)
