"""The report as one HTML page that carries everything: no scripts, no fonts, no network."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader

from specreason.eval.report.charts import STYLE, Figure
from specreason.eval.report.tables import Table
from specreason.eval.study import StudyData
from specreason.eval.summary import Summary
from specreason.reasoning.events import Event, StepKept
from specreason.reasoning.records import StepRecord


@dataclass(frozen=True, slots=True)
class TracedStep:
    """A kept step as it is shown. `draft`: what stood in its place, where it was rejected."""

    author: str
    text: str
    note: str
    draft: str | None


@dataclass(frozen=True, slots=True)
class Trace:
    """One run of one problem, step by step."""

    cell: str
    right: bool
    answer: str | None
    reason: str
    seconds: float
    steps: Sequence[TracedStep]


@dataclass(frozen=True, slots=True)
class Report:
    """All that a page or a Markdown file shows. `traces`: problem id to its runs."""

    study: StudyData
    summaries: Sequence[Summary]
    headlines: Sequence[str]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    problems: Table
    traces: Mapping[str, Sequence[Trace]]


def page(report: Report) -> str:
    """The HTML page."""
    loader = PackageLoader("specreason.eval", "report")
    template = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return template.get_template("page.html.j2").render(
        report=report,
        study=report.study,
        style=STYLE,
        conditions=conditions(report.study),
        problems={problem.id: problem.text for problem in report.study.problems},
        written=time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    )


def conditions(study: StudyData) -> list[tuple[str, str]]:
    """How it was measured, so that a reader can judge and repeat it."""
    last: Mapping[str, Any] = study.sessions[-1] if study.sessions else {}
    machine: Mapping[str, Any] = last.get("machine", {})
    versions: Mapping[str, str] = last.get("versions", {})
    models: Mapping[str, Any] = last.get("settings", {})
    behind_urls = any(models.get(role, {}).get("url") for role in ("base", "small"))
    machines = {str(session.get("machine")) for session in study.sessions}
    facts = [
        ("task", f"{study.task['name']} ({study.task['source']}), fingerprint {study.task['fingerprint']}"),
        ("models", ", ".join(f"{role} {model}" for role, model in study.models.items())),
        (
            "machine",
            f"{machine.get('cores')} cores of {machine.get('processor')}, {machine.get('memory_gb')} GB, "
            f"{machine.get('system')}" + ("; SEVERAL MACHINES were used" if len(machines) > 1 else ""),
        ),
        (
            "how the models share it",
            f"{last.get('sharing')}. All models stay loaded in every scheme"
            + (
                "; what else they share with each other cannot be seen from here."
                if behind_urls
                else ". Sequentially they work in turn: the base model alone has the cores of the pair."
            ),
        ),
        ("order", "problem by problem (under load: block by block); cells take turns, the first one changes"),
        ("warm-up", "every model reads a problem once before its measured runs, the same for all schemes"),
        ("seeds", f"from {study.seed}, the cell, the problem and the sample"),
        ("versions", ", ".join(f"{name} {found}" for name, found in versions.items())),
        ("sessions", f"{len(study.sessions)} (a study goes on where it was stopped)"),
        ("settings of all cells", _shown(study.settings)),
        ("commands", "; ".join(dict.fromkeys(str(s.get("command", "")) for s in study.sessions))),
    ]  # fmt: skip
    for role, engine in dict(last.get("engines", {})).items():
        able = ", ".join(f"{name} {value}" for name, value in engine.get("capabilities", {}).items())
        facts.append(
            (f"{role} engine", f"{engine.get('model')}, context {engine.get('context_length')}; {able}")
        )
    return facts


def traced_steps(events: Sequence[Event]) -> list[TracedStep]:
    """The kept steps of a run, each with what became of its draft."""
    return [_traced(event.step) for event in events if isinstance(event, StepKept)]


def _traced(step: StepRecord) -> TracedStep:
    values = [f"{name} {'-' if v is None else f'{v:.3g}'}" for name, v in step.signals.items()]
    notes = [step.origin.replace("_", " "), *values]
    if step.reason:
        notes.append(f"draft rejected: {step.reason}")
    return TracedStep(step.author, step.text.strip(), ", ".join(notes), step.draft and step.draft.strip())


def _shown(settings: Mapping[str, Any]) -> str:
    """Each with its value; line breaks in it are written as such."""
    shown = {name: str(value).replace("\n", "\\n") for name, value in settings.items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in shown.items() if value)
