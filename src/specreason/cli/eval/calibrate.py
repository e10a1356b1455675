"""The work of `specreason calibrate`: asks the judge about labelled steps until there is a sure threshold."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from specreason.cli.eval.quality import asked, threshold_text
from specreason.config import Settings, load_settings
from specreason.config.load import DEFAULT_FILE
from specreason.engines.kinds import in_process
from specreason.errors import ConfigError, InputError
from specreason.eval.calibration.judging_statistics import ScoredStep, Threshold, surest, threshold_for
from specreason.eval.calibration.labelled_steps import labelled_steps, spread
from specreason.eval.calibration.score_steps import Judged
from specreason.eval.calibration.write_threshold import write_threshold
from specreason.models.pair_settings import resolve
from specreason.reasoning.policies.specreason import knobs_in
from specreason.reasoning.signals.judge_score import JudgePrompt

# Too few steps of either kind to judge a threshold.
_LEAST_OF_A_KIND = 10
# Looking after every step would soon find a lucky moment.
_LOOK_EVERY = 40
_NEARLY = 0.9


@dataclass(frozen=True, slots=True)
class Wish:
    """What the threshold is to give, and how sure of it to be. Either `precision` or `acceptance` is None."""

    precision: float | None
    acceptance: float | None
    right_share: float | None
    confidence: float

    def threshold(self, scored: Sequence[ScoredStep]) -> Threshold | None:
        """The threshold that these steps show to give it; None if none is sure to."""
        kinds = sum(step.right for step in scored), sum(not step.right for step in scored)
        return self._found(scored, self.confidence) if min(kinds) >= _LEAST_OF_A_KIND else None

    def enough(self, scored: Sequence[ScoredStep]) -> bool:
        """Whether more steps would hardly lower the threshold: it keeps nearly what a mere guess would."""
        if self.precision is None or len(scored) % _LOOK_EVERY:
            # A threshold that is sure to accept enough rises with more steps: only precision may stop early.
            return False
        found, guess = self.threshold(scored), self._found(scored, 0.5)
        if found is None or guess is None:
            return False
        return found.acceptance.value >= _NEARLY * guess.acceptance.value

    def surest(self, scored: Sequence[ScoredStep]) -> Threshold | None:
        """The threshold that is likeliest to give it, however unlikely."""
        return surest(
            scored, precision=self.precision, acceptance=self.acceptance, right_share=self.right_share
        )

    def _found(self, scored: Sequence[ScoredStep], confidence: float) -> Threshold | None:
        return threshold_for(
            scored,
            precision=self.precision,
            acceptance=self.acceptance,
            right_share=self.right_share,
            confidence=confidence,
        )

    def __str__(self) -> str:
        name, value = (
            ("acceptance", self.acceptance) if self.precision is None else ("precision", self.precision)
        )
        return f"{name} {value:g}"


def calibrate(
    steps: Path,
    *,
    precision: float | None,
    acceptance: float | None,
    confidence: float,
    right_share: float | None,
    limit: int,
    seed: int,
    dry_run: bool,
    store: Path | None,
    config: Path | None,
    pair: str | None,
    set_: Sequence[str] | None,
) -> None:
    """See `specreason calibrate --help`."""
    if (precision is None) == (acceptance is None):
        raise ConfigError("say what is wanted: --precision 0.95 or --acceptance 0.6")
    wish = Wish(precision, acceptance, right_share, confidence)
    settings = resolve(load_settings(config, {"pair": pair}, sets=set_))
    method = knobs_in(settings).judge_method

    def enough(judged: Sequence[Judged]) -> bool:
        return wish.enough([item.scored(method) for item in judged])

    labelled = spread(labelled_steps(steps, seed), limit)
    judged = asyncio.run(asked(settings, labelled, [_prompt(settings)], store, enough))
    scored, made = [item.scored(method) for item in judged], any(item.step.made for item in judged)
    if (found := wish.threshold(scored)) is None:
        raise InputError(_not_found(wish, scored, limit))
    origin = "one number changed" if made else "labelled"
    why = f"{wish}, sure to {found.confidence:.0%} from {len(scored)} steps ({origin})"
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"threshold {threshold_text(found)}; {why}", markup=False)
    if made and right_share is None:
        console.print(
            "half of these steps were made wrong on purpose: with --right-share say how many drafts "
            "are right in use, or precision and acceptance are those among as many wrong as right steps",
            markup=False,
        )
    if not dry_run:
        target = config or Path(os.environ.get("SPECREASON_CONFIG") or DEFAULT_FILE)
        write_threshold(target, found.value, method, why)
        console.print(f"written to {target}", markup=False)
    typer.echo(f"{found.value:.3g}")


def _not_found(wish: Wish, scored: Sequence[ScoredStep], limit: int) -> str:
    best = wish.surest(scored)
    hint = f"; the surest, at {best.confidence:.0%}, is {threshold_text(best)}" if best else ""
    more = "more steps with --limit" if len(scored) >= limit else "a file with more steps"
    return (
        f"no threshold gives {wish} with {wish.confidence:.0%} confidence from {len(scored)} steps{hint}. "
        f"Give {more}, a lower wish, or --confidence 0.8"
    )


def _prompt(settings: Settings) -> JudgePrompt:
    if (prompt := knobs_in(settings).judge_prompt) != "auto":
        return prompt
    return "inline" if in_process("base", settings.base) else "paper"
