"""The work of `specreason calibrate`: asks the judge about labelled steps until the wish is carried."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path

import typer
from rich.console import Console

from specreason.cli.eval.quality import threshold_text
from specreason.config import Settings, load_settings
from specreason.config.load import DEFAULT_FILE
from specreason.engines.opening import open_engine
from specreason.errors import ConfigError, InputError
from specreason.eval.calibration.judging_statistics import ScoredStep, Threshold, surest, threshold_for
from specreason.eval.calibration.labelled_steps import LabelledStep, labelled_steps, spread
from specreason.eval.calibration.score_steps import judged_steps
from specreason.eval.calibration.write_threshold import write_threshold
from specreason.eval.store import Store
from specreason.models.pair_settings import resolve
from specreason.reasoning.judging import JudgePrompt

# Too few steps of either kind to begin to judge a threshold.
_LEAST_OF_A_KIND = 10
# Looking after every step would soon find a lucky moment.
_LOOK_EVERY = 40
_NEARLY = 0.9


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
) -> None:
    """See `specreason calibrate --help`."""
    if (precision is None) == (acceptance is None):
        raise ConfigError("say what is wanted: --precision 0.95 or --acceptance 0.6")
    settings = resolve(load_settings(config, {"pair": pair}))
    method = settings.reasoning.judge_method
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    labelled = spread(labelled_steps(steps, seed), limit)
    wish = {"precision": precision, "acceptance": acceptance, "right_share": right_share}

    def satisfied(scored: Sequence[ScoredStep]) -> Threshold | None:
        kinds = sum(step.right for step in scored), sum(not step.right for step in scored)
        return (
            threshold_for(scored, **wish, confidence=confidence) if min(kinds) >= _LEAST_OF_A_KIND else None
        )

    def enough(scored: Sequence[ScoredStep]) -> bool:
        """Whether more steps would hardly lower the threshold: it keeps nearly what a mere guess would."""
        found, guess = satisfied(scored), threshold_for(scored, **wish, confidence=0.5)
        if found is None or guess is None:
            return False
        return found.acceptance.value >= _NEARLY * guess.acceptance.value

    scored, made = asyncio.run(
        # With more steps the threshold that is sure to accept enough rises: only precision may stop early.
        _until(settings, labelled, enough if precision is not None else None, store, console)
    )
    found = satisfied(scored)
    if found is None:
        best = surest(scored, **wish)
        hint = f"; the surest, at {best.confidence:.0%}, is {threshold_text(best)}" if best else ""
        more = "more steps with --limit" if len(scored) >= limit else "a file with more steps"
        raise InputError(
            f"{len(scored)} steps do not carry that wish with {confidence:.0%} confidence{hint}. "
            f"Give {more}, wish for less, or --confidence 0.8"
        )
    origin = "one number changed" if made else "labelled"
    wanted = f"precision {precision:g}" if precision is not None else f"acceptance {acceptance:g}"
    why = f"{wanted}, sure to {found.confidence:.0%} from {len(scored)} steps ({origin})"
    console.print(f"threshold {threshold_text(found)}; {why}", markup=False)
    if made and right_share is None:
        console.print(
            "half of these steps were made wrong on purpose: with --right-share say how many drafts "
            "are right in use, or precision and acceptance are those among as many wrong as right steps",
            markup=False,
        )
    target = config or Path(os.environ.get("SPECREASON_CONFIG") or DEFAULT_FILE)
    if not dry_run:
        write_threshold(target, found.value, method, why)
        console.print(f"written to {target}", markup=False)
    typer.echo(f"{found.value:.3g}")


async def _until(
    settings: Settings,
    labelled: Sequence[LabelledStep],
    enough: Callable[[Sequence[ScoredStep]], bool] | None,
    store: Path | None,
    console: Console,
) -> tuple[list[ScoredStep], bool]:
    """Scored steps, as few as are enough, or all; and whether wrong ones were made wrong on purpose."""
    reasoning, scored, made = settings.reasoning, list[ScoredStep](), False
    prompt: JudgePrompt = "paper" if settings.base.url is not None else "inline"
    if reasoning.judge_prompt != "auto":
        prompt = reasoning.judge_prompt
    engine = await open_engine("base", settings.base)
    try:
        with ExitStack() as files, console.status("asking the judge ...") as status:
            kept = files.enter_context(Store(store, create=True)) if store else None
            judging = judged_steps(
                engine, settings.base, reasoning.instruction, labelled, [prompt], store=kept
            )
            async with aclosing(judging) as items:
                async for item in items:
                    scored.append(item.scored(reasoning.judge_method))
                    made = made or item.step.made
                    status.update(f"{len(scored)} scores of at most {len(labelled)}")
                    if enough and len(scored) % _LOOK_EVERY == 0 and enough(scored):
                        break
    finally:
        await engine.aclose()
    return scored, made
