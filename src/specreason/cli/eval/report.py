"""The work of `specreason eval report`, `compare` and `trace`."""

from pathlib import Path

import typer
from rich.console import Console

from specreason.errors import ConfigError
from specreason.eval.compare import chosen, compared
from specreason.eval.report.make import made
from specreason.eval.report.markdown import markdown as as_markdown
from specreason.eval.report.page import page
from specreason.eval.store import RunKey, Store
from specreason.eval.study import StudyData, read_study
from specreason.reasoning.events import to_json
from specreason.text_files import write_text


def report(store: Path, *, html: Path | None, markdown: Path | None, against: str, traces: int) -> None:
    """See `specreason eval report --help`."""
    with Store(store) as opened:
        if not opened.done():
            raise ConfigError(f"{store} has no runs yet; specreason eval run --store {store} makes them")
        content = made(opened, against, traces)
    target = html or store.with_suffix(".html")
    _write(target, page(content))
    beside = markdown or store.with_suffix(".md")
    folder = beside.with_name(f"{beside.stem}-figures")
    _write(beside, as_markdown(content, folder.name))
    for figure in content.figures:
        _write(folder / f"{figure.name}.svg", figure.alone)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"{target} ({target.stat().st_size / 1e6:.1f} MB), {beside}", markup=False)
    for line in content.headlines:
        console.print(line, markup=False)


def compare(a: str, b: str) -> None:
    """See `specreason eval compare --help`."""
    (study_a, cell_a), (study_b, cell_b) = _opened(a), _opened(b)
    console = Console(highlight=False, soft_wrap=True)
    for comparison in compared(study_a, cell_a, study_b, cell_b):
        for sentence in comparison.sentences:
            console.print(sentence, markup=False)
        console.print()


def trace(store: Path, problem: str, cell: str, sample: int) -> None:
    """See `specreason eval trace --help`."""
    with Store(store) as opened:
        study = read_study(opened)
        positions = [n for n, known in enumerate(study.problems) if known.id == problem]
        if not positions:
            raise ConfigError(f"{store} has no problem '{problem}'; its first is '{study.problems[0].id}'")
        label = chosen(study, cell).cell.label
        for event in opened.events(RunKey(positions[0], label, sample)):
            typer.echo(to_json(event))


def _opened(name: str) -> tuple[StudyData, str]:
    """The study of `STORE` or `STORE:LABEL`, and the label."""
    path, cell = name, ""
    if not Path(name).exists() and ":" in name:
        path, _, cell = name.partition(":")
    with Store(Path(path)) as store:
        return read_study(store), cell


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
