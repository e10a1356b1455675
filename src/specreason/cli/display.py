"""Steps on a terminal, as they are decided."""

from rich.console import Console
from rich.text import Text

from specreason.reasoning.events import AnswerDelta, Event, Fallback, Started, StepKept, ThinkingEnded
from specreason.reasoning.records import Origin, Phase, StepRecord
from specreason.reasoning.result import Result

_ENDED = {
    "closed": "the model closed its thinking",
    "stopped": "the model had no more to say",
    "answer": "the answer is stated",
    "budget": "the thinking budget is used up",
    "context": "the context is full",
    "repetition": "the model repeats itself",
}

_SIGNALS = {"judge_score": "score"}
_REPLACED: dict[Origin, str] = {
    "rewrite": "rewritten by the base model",
    "kept_prefix": "rewritten by the base model",
    "instead": "written by the base model instead",
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

    def __init__(self, console: Console) -> None:
        self._console = console
        self._answering = False
        self._plain = False

    def show(self, event: Event) -> None:
        """Print what `event` says, if anything."""
        match event:
            case Started():
                self._plain = not event.thinking
                models = ", ".join(f"{role} {model}" for role, model in event.models.items())
                self._console.print(f"{event.scheme}: {models}", style="dim", markup=False)
            case StepKept(step=step):
                self._console.print(_headline(step))
                self._console.print(step.text.strip(), markup=False)
            case Fallback():
                message = f"the small model failed, the base model goes on alone: {event.reason}"
                self._console.print(message, style="yellow", markup=False)
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


def _headline(step: StepRecord) -> Text:
    values = (f"{_SIGNALS.get(name, name)} {v:.3g}" for name, v in step.signals.items() if v is not None)
    measured = ", ".join(values)
    if step.author == "small":
        head = "drafted, accepted" if step.outcome == "accepted" else "written by the small model"
        return Text(f"\n[{step.index + 1}] {head}{f' ({measured})' if measured else ''}", style="green")
    if step.outcome == "rejected":
        # "score, score 2.4" would say it twice.
        because = measured if measured.startswith(f"{step.reason} ") else f"{step.reason}, {measured}"
        why = f"draft rejected: {because}".removesuffix(", ")
        kept = f"; its first {step.small_tokens} tokens stay" if step.small_tokens else ""
        return Text(f"\n[{step.index + 1}] {_REPLACED[step.origin]} ({why}{kept})", style="yellow")
    why = ", ".join(filter(None, [step.plan, measured]))
    head = f"written by the base model{f' ({why})' if why else ''}"
    return Text(f"\n[{step.index + 1}] {head}", style="cyan")


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
