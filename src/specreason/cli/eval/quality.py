"""The work of `specreason eval score-quality`: the judge on labelled steps."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import get_args

import typer
from rich.console import Console

from specreason.config import Settings, load_settings
from specreason.config.assignments import nearest
from specreason.engines.opening import open_engine
from specreason.errors import ConfigError, InputError
from specreason.eval.calibration.judging_statistics import Threshold, auc, reliability, threshold_for
from specreason.eval.calibration.labelled_steps import LabelledStep, labelled_steps, spread
from specreason.eval.calibration.score_steps import METHODS, Judged, judged_steps
from specreason.eval.store import Store
from specreason.models.pair_settings import resolve
from specreason.reasoning.signals.judge_score import JudgePrompt

# Below this a bootstrap over problems has too little to draw from.
_FEW_PROBLEMS = 20


def score_quality(
    steps: Path,
    *,
    prompts: str,
    limit: int,
    precision: float | None,
    acceptance: float | None,
    seed: int,
    store: Path | None,
    config: Path | None,
    pair: str | None,
    set_: Sequence[str] | None,
) -> None:
    """See `specreason eval score-quality --help`."""
    settings = resolve(load_settings(config, {"pair": pair}, sets=set_))
    chosen = _prompts(prompts)
    labelled = spread(labelled_steps(steps, seed), limit)
    if not labelled:
        raise InputError(f"{steps} holds no step with a number in it, and no labels")
    judged = asyncio.run(asked(settings, labelled, chosen, store))
    for line in quality_lines(judged, chosen, precision, acceptance):
        typer.echo(line)


def quality_lines(
    judged: Sequence[Judged],
    prompts: Sequence[JudgePrompt],
    precision: float | None,
    acceptance: float | None,
) -> list[str]:
    """The result as Markdown."""
    right = sum(item.step.right for item in judged) // len(prompts)
    problems = len({item.step.problem_id for item in judged})
    lines = [
        f"{len(judged) // len(prompts)} steps of {problems} problems, {right} of them right; wrong ones "
        + ("are right steps with one number changed." if judged[0].step.made else "as labelled."),
        *(["", "So few problems make intervals that are too narrow."] if problems < _FEW_PROBLEMS else []),
        "",
        "| prompt | method | AUC, 95% interval | unreadable | seconds a score | threshold |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    curves: list[str] = []
    for prompt, method in itertools.product(prompts, METHODS):
        mine = [item for item in judged if item.prompt == prompt]
        scored = [item.scored(method) for item in mine]
        area = auc(scored)
        shown = "-" if area is None else f"{area.value:.3f} ({area.low:.3f} to {area.high:.3f})"
        unreadable = sum(step.score is None for step in scored) / len(scored)
        seconds = sum(item.seconds for item in mine) / len(mine)
        found = None
        if precision is not None or acceptance is not None:
            found = threshold_for(scored, precision=precision, acceptance=acceptance)
        lines.append(
            f"| {prompt} | {method} | {shown} | {unreadable:.1%} | {seconds:.2f} | "
            f"{'-' if found is None else threshold_text(found)} |"
        )
        curves += ["", f"Share of right steps by score, {prompt} {method}:", ""]
        curves += ["| mean score | right | 95% interval | steps |", "| --- | --- | --- | --- |"]
        curves += [
            f"| {b.score:.2f} | {b.right:.1%} | {b.low * 100:.1f} to {b.high * 100:.1f} | {b.count} |"
            for b in reliability(scored)
        ]
    return lines + curves


def threshold_text(found: Threshold) -> str:
    """A threshold with what it gives."""
    p, a = found.precision, found.acceptance
    return (
        f"{found.value:.3g}: {p.value:.0%} of kept drafts right ({p.low:.0%} to {p.high:.0%}), "
        f"{a.value:.0%} kept ({a.low:.0%} to {a.high:.0%})"
    )


async def asked(
    settings: Settings,
    labelled: Sequence[LabelledStep],
    prompts: Sequence[JudgePrompt],
    store: Path | None,
    enough: Callable[[Sequence[Judged]], bool] | None = None,
) -> list[Judged]:
    """The base model's scores of these steps, or of as many as are `enough`; `store` keeps them."""
    judged: list[Judged] = []
    console = Console(stderr=True, highlight=False)
    engine = await open_engine("base", settings.base)
    try:
        with ExitStack() as files, console.status("loading the model ...") as status:
            kept = files.enter_context(Store(store, create=True)) if store else None
            judging = judged_steps(
                engine, settings.base, settings.reasoning.instruction, labelled, prompts, store=kept
            )
            async with aclosing(judging) as items:
                async for item in items:
                    judged.append(item)
                    status.update(f"{len(judged)} of at most {len(labelled) * len(prompts)} scores")
                    if enough and enough(judged):
                        break
    finally:
        await engine.aclose()
    return judged


def _prompts(text: str) -> list[JudgePrompt]:
    known: tuple[JudgePrompt, ...] = get_args(JudgePrompt)
    by_name: dict[str, JudgePrompt] = {prompt: prompt for prompt in known}
    prompts: list[JudgePrompt] = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        if (found := by_name.get(name)) is None:
            raise ConfigError(f"--prompts has '{name}'; {nearest(name, list(known))}")
        prompts.append(found)
    if not prompts:
        raise ConfigError("--prompts is empty; give paper, inline, or both")
    return prompts
