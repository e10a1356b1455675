"""Two runs of the same problems: the paired differences, and in plain words what they allow to conclude."""

from collections.abc import Iterator
from dataclasses import dataclass

from specreason.errors import ConfigError
from specreason.eval.cells import SCHEME, matters, value_text
from specreason.eval.statistics import Estimate, missed_by_chance
from specreason.eval.study import CellRuns, StudyData
from specreason.eval.summary import Versus, versus

EMULATED = (
    "EMULATION: no model ran. The times follow a timing profile, and the accuracies say nothing of any model."
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`b` against `a` on the problems that both ran."""

    a: CellRuns
    b: CellRuns
    problems: int
    found: Versus
    emulated: bool = False

    @property
    def sentences(self) -> list[str]:
        """What can be concluded, and what cannot."""
        a, b = self.a.name, self.b.name
        if a == b:
            a, b = f"A ({a})", f"B ({b})"
        return [_accuracy(a, b, self.found.accuracy), _speed(a, b, self.found.speedup), _limits(self)]


def compared(a: StudyData, cell_a: str, b: StudyData, cell_b: str) -> list[Comparison]:
    """The named cells; without names, every cell that both studies have. Raises ConfigError."""
    common = min(len(a.problems), len(b.problems))
    if a.problems[:common] != b.problems[:common]:
        raise ConfigError(
            f"{a.path} and {b.path} asked different problems ({a.task['name']} {a.task['fingerprint']}, "
            f"{b.task['name']} {b.task['fingerprint']}); only the same problems can be compared"
        )
    if cell_a or cell_b:
        pairs = [(chosen(a, cell_a), chosen(b, cell_b))]
    else:
        others = {runs.cell.label: runs for runs in b.cells}
        pairs = [(runs, others[runs.cell.label]) for runs in a.cells if runs.cell.label in others]
    emulated = a.emulated or b.emulated
    comparisons = [
        Comparison(x, y, len(both), versus(x, y), emulated)
        for x, y in pairs
        if (both := x.problems & y.problems)
    ]
    if not comparisons:
        raise ConfigError(f"{a.path} and {b.path} have no runs of the same problems; name cells: STORE:LABEL")
    return comparisons


def chosen(study: StudyData, name: str) -> CellRuns:
    """The cell that `name` stands for: its short name, its label, or a scheme that has one cell only."""
    words = sorted(name.split())  # the settings in any order
    for fits in (
        [runs for runs in study.cells if words in (sorted(n.split()) for n in (runs.name, runs.cell.label))],
        [runs for runs in study.cells if runs.cell.scheme == name],
        [*study.cells] if not name else [],
    ):
        if len(fits) == 1:
            return fits[0]
    known = ", ".join(repr(runs.name) for runs in study.cells)
    raise ConfigError(f"{study.path}: '{name}' does not name one cell; it has {known}")


def _accuracy(a: str, b: str, gain: Estimate) -> str:
    points, span = f"{abs(gain.value) * 100:.1f} points", _span(gain)
    if gain.low == gain.high == 0:
        unseen = missed_by_chance(gain.count) * 100
        return (
            f"No difference in accuracy: {a} and {b} had the same share right on each of "
            f"{gain.count} problems. That still allows for up to {unseen:.1f}% of "
            "such problems on which they would differ."
        )
    if gain.certain_sign:
        word = "more" if gain.value > 0 else "less"
        return f"{b} is {word} accurate than {a} by {points} (95% interval {span}, {gain.count} problems)."
    half = (gain.high - gain.low) / 2
    needed = max(gain.count + 1, round(gain.count * (half / 0.03) ** 2))
    return (
        f"No difference in accuracy can be concluded: {b} less {a} is "
        f"{gain.value * 100:+.1f} points, and anything from {span} fits these {gain.count} "
        f"problems. For an interval of 3 points to either side, about {needed} problems would be needed."
    )


def _speed(a: str, b: str, gain: Estimate | None) -> str:
    if gain is None:
        return "Nothing can be said of speed: no problem was finished by both."
    span = f"{gain.low:.2f} to {gain.high:.2f}"
    if gain.low > 1:
        return f"{b} is {gain.value:.2f} times as fast as {a} (95% interval {span})."
    if gain.high < 1:
        return f"{b} is slower than {a}: {gain.value:.2f} times its speed (95% interval {span})."
    return (
        f"No difference in speed can be concluded: {b} has {gain.value:.2f} times the speed of {a} ({span})."
    )


def _limits(made: Comparison) -> str:
    text = f"This holds for problems like these {made.problems}, on this machine and with these models."
    if made.emulated:
        text = f"This holds for problems like these {made.problems}. {EMULATED}"
    loads = made.a.cell.concurrency, made.b.cell.concurrency
    if loads[0] != loads[1]:
        text += (
            f" They ran under different loads ({loads[0]} and {loads[1]} at once): speed cannot be compared."
        )
    if apart := "; ".join(_settings_apart(made.a, made.b)):
        text += f" Their settings differ: {apart}."
    if broken := sum(row.error is not None for runs in (made.a, made.b) for row in runs.rows):
        text += f" {broken} runs broke off; they count as wrong and have no time."
    return text


def _settings_apart(a: CellRuns, b: CellRuns) -> Iterator[str]:
    """Settings that matter under both schemes and are not the same."""
    for key in dict.fromkeys((*a.settings, *b.settings)):
        values = a.settings.get(key), b.settings.get(key)
        shared = key != SCHEME and matters(key, a.cell.scheme) and matters(key, b.cell.scheme)
        if shared and values[0] != values[1]:
            yield f"{key} {value_text(values[0])} and {value_text(values[1])}"


def _span(gain: Estimate) -> str:
    return f"{gain.low * 100:+.1f} to {gain.high * 100:+.1f}"
