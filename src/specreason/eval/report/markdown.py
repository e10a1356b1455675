"""The report as Markdown: the same tables, and the figures as files beside it."""

from collections.abc import Sequence

from specreason.eval.report.page import Report, conditions
from specreason.eval.report.tables import Table


def markdown(report: Report, figure_folder: str) -> str:
    """The text; figures are named as files of `figure_folder`."""
    study = report.study
    models = " and ".join(study.models.values())
    lines = [f"# {study.task['name']}: {models}", "", f"{len(report.problems.rows)} problems.", ""]
    lines += [f"{line}\n" for line in report.headlines]
    for table in report.tables:
        lines += [f"## {table.title}", "", *_table(table), "", table.note, ""]
    for figure in report.figures:
        lines += [f"## {figure.title}", "", f"![{figure.title}]({figure_folder}/{figure.name}.svg)", ""]
        lines += [figure.text, ""]
    lines += ["## How it was measured", ""]
    lines += [f"- {name}: {text}" for name, text in conditions(study)]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> list[str]:
    return [_line(table.head), _line(["---"] * len(table.head)), *(_line(row) for row in table.rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
