"""Steps of which it is known whether they are right: labelled by others, or made wrong on purpose.

From a file of JSON Lines, or from the chains of a study that led to right answers. Where there are no labels
every step counts as right, and beside it stands the same step with one of its numbers changed.
"""

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from specreason.errors import ConfigError, InputError
from specreason.eval.store import RunKey, Store
from specreason.eval.tasks import json_of, text_of
from specreason.reasoning.events import StepKept
from specreason.text_files import lines, read_text

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])")
_STUDY_SUFFIXES = frozenset({".sqlite", ".db", ".sqlite3"})


@dataclass(frozen=True, slots=True)
class LabelledStep:
    """A step after the steps `before`. `item` names it; `made`: it was made wrong, or its twin was."""

    item: str
    problem_id: str
    problem: str
    before: tuple[str, ...]
    text: str
    right: bool
    made: bool


def labelled_steps(path: Path, seed: int) -> Iterator[LabelledStep]:
    """The steps of a file or of a study, problem by problem. Raises ConfigError or InputError."""
    if path.suffix in _STUDY_SUFFIXES:
        yield from _from_study(path, seed)
        return
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})") from None
    for number, line in enumerate(lines(text), 1):
        if line.strip():
            yield from _from_line(f"{path}, line {number}", number, line, seed)


def spread(steps: Iterable[LabelledStep], limit: int) -> list[LabelledStep]:
    """At most `limit` of the steps, from as many problems as there are: one place of each chain in turn.

    Steps of one chain are no independent evidence. A step and its wrong twin stay together.
    """
    chains: dict[str, dict[int, list[LabelledStep]]] = {}
    for step in steps:
        chains.setdefault(step.problem_id, {}).setdefault(len(step.before), []).append(step)
    rounds = itertools.zip_longest(*(chain.values() for chain in chains.values()), fillvalue=())
    return list(itertools.islice((step for turn in rounds for place in turn for step in place), limit))


def corrupted(text: str, rng: random.Random) -> str | None:
    """The step with one of its numbers replaced by another; None if it has none."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    chosen = rng.choice(found)
    digits = chosen[0]
    while True:
        place = rng.randrange(len(digits))
        if digits[place] == ".":
            continue
        changed = digits[:place] + str(rng.randrange(10)) + digits[place + 1 :]
        if float(changed) != float(digits) and (len(digits) == 1 or not changed.startswith("0")):
            return text[: chosen.start()] + changed + text[chosen.end() :]


def _from_line(where: str, number: int, line: str, seed: int) -> Iterator[LabelledStep]:
    row = json_of(where, line)
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", row) if isinstance(row, dict) else {}
    problem: object = fields.get("problem")
    steps: object = fields.get("steps")
    if not problem or not isinstance(steps, list) or not steps:
        raise InputError(f"{where} must have 'problem' (text) and 'steps' (a list of texts)")
    problem = text_of(where, "problem", problem)
    texts = [text_of(where, "steps", step) for step in cast("list[object]", steps)]
    name = text_of(where, "id", number if fields.get("id") is None else fields["id"])
    if (labels := _labels(where, fields, len(texts))) is None:
        yield from _twins(name, problem, texts, seed)
        return
    for index, right in enumerate(labels):
        before = tuple(tidy(step) for step in texts[:index])
        yield LabelledStep(f"{name}/{index}", name, problem, before, tidy(texts[index]), right, made=False)


def _labels(where: str, row: Mapping[str, Any], count: int) -> list[bool] | None:
    """`labels`: one for each step; `label`: the first wrong step, -1 for none; later ones are unknown."""
    labels: object = row.get("labels")
    if labels is not None:
        given = cast("list[object]", labels) if isinstance(labels, list) else []
        if len(given) != count or not all(label in (True, False) for label in given):
            raise InputError(
                f"{where}: 'labels' must be a list with one of true and false for each of {count} steps"
            )
        return [bool(label) for label in given]
    label: object = row.get("label")
    if label is None:
        return None
    if not isinstance(label, int) or not -1 <= label < count:
        raise InputError(
            f"{where}: 'label' must be the number of the first wrong step, or -1; it is {label!r}"
        )
    return [True] * count if label < 0 else [True] * label + [False]


def _twins(name: str, problem: str, texts: Sequence[str], seed: int) -> Iterator[LabelledStep]:
    """Each step with a number, as it is and with the number changed."""
    rng = random.Random(f"{seed} {name}")
    for index, text in enumerate(texts):
        before, step = tuple(tidy(earlier) for earlier in texts[:index]), tidy(text)
        if (wrong := corrupted(step, rng)) is not None:
            yield LabelledStep(f"{name}/{index}", name, problem, before, step, right=True, made=True)
            yield LabelledStep(f"{name}/{index}/wrong", name, problem, before, wrong, right=False, made=True)


def _from_study(path: Path, seed: int) -> Iterator[LabelledStep]:
    """One right chain of each problem, whoever wrote it."""
    with Store(path) as store:
        problems = store.problems()
        chains = {
            row.position: RunKey(row.position, row.cell, row.sample) for row in store.rows() if row.right
        }
        for position, key in chains.items():
            texts = [event.step.text for event in store.events(key) if isinstance(event, StepKept)]
            yield from _twins(problems[position].id, problems[position].text, texts, seed)


def tidy(step: str) -> str:
    """A step as it stands in a chain: no closing tag, a blank line at its end."""
    return step.replace("</think>", "").strip() + "\n\n"
