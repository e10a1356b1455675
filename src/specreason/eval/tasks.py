"""The problems of a study: from a local file or, by a short name, from the hub (`hub.py`)."""

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from specreason.errors import ConfigError, InputError
from specreason.text_files import lines, read_text

Kind = Literal["math", "choice"]
LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True, slots=True)
class Problem:
    """`text` is what the models read; `answer` is the expected one, for `choice` a letter."""

    id: str
    text: str
    answer: str
    kind: Kind = "math"


@dataclass(frozen=True, slots=True)
class Task:
    """Problems in their order. `source` says where they came from, `fingerprint` what they are."""

    name: str
    source: str
    problems: tuple[Problem, ...]

    @property
    def fingerprint(self) -> str:
        """A hash of all problems and answers: two studies with the same one asked the same."""
        fields = [(p.id, p.text, p.answer, p.kind) for p in self.problems]
        return hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).hexdigest()[:16]


def from_file(path: Path, seed: int) -> Task:
    """The problems of a JSON Lines file; see docs/evaluation.md. Raises ConfigError or InputError."""
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"--task {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"--task {path} is not UTF-8 text (byte {error.start})") from None
    return Task(path.stem, str(path), checked(list(_lines(path, text, seed)), str(path)))


def limited(task: Task, limit: int | None, skip: int = 0) -> Task:
    """The first `limit` problems after `skip`."""
    end = None if limit is None else skip + limit
    problems = task.problems[skip:end]
    if not problems:
        raise ConfigError(f"--skip {skip} leaves none of the {len(task.problems)} problems of {task.name}")
    return Task(task.name, task.source, problems)


def choice_problem(name: str, question: str, right: str, wrong: Sequence[str], seed: int) -> Problem:
    """A question with lettered options, shuffled by `seed` and the problem's own name."""
    options = [right, *wrong]
    random.Random(f"{seed} {name}").shuffle(options)
    listed = "\n".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    text = f"{question.strip()}\n\n{listed}\n\nAnswer with the letter of the right option."
    return Problem(name, text, LETTERS[options.index(right)], "choice")


def checked(problems: Sequence[Problem], source: str) -> tuple[Problem, ...]:
    """The problems, if there are any and each has an id of its own. Raises InputError."""
    if not problems:
        raise InputError(f"{source} holds no problem")
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise InputError(f"{source} has the id {problem.id!r} twice; each problem needs its own")
        seen.add(problem.id)
    return tuple(problems)


def json_of(where: str, line: str) -> object:
    """What a line of JSON Lines holds. Raises InputError, which names the line."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets without end
        raise InputError(f"{where} cannot be read: {error}") from None


def text_of(where: str, field: str, value: object) -> str:
    """`value` as text if it is text or a number. Raises InputError, which names the line and the field."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise InputError(f"{where}: '{field}' must be text or a number; it is {json.dumps(value):.80}")
    text = str(value)
    if not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{where}: '{field}' holds half a character (a lone surrogate): {text!a:.80}")
    return text


def _lines(path: Path, text: str, seed: int) -> Iterator[Problem]:
    for number, line in enumerate(lines(text), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = json_of(where, line)
        if not isinstance(row, dict):
            raise InputError(f'{where} must be an object: {{"id", "problem", "answer"}}')
        yield _problem(cast("Mapping[str, Any]", row), where, number, seed)


def _problem(row: Mapping[str, Any], where: str, number: int, seed: int) -> Problem:
    for field in ("problem", "answer"):
        if row.get(field) is None or not str(row[field]).strip():
            close = "" if field in row else f"; it has {', '.join(row) or 'nothing'}"
            raise InputError(f"{where} has no '{field}'{close}")
    name = text_of(where, "id", number if row.get("id") is None else row["id"])
    text, answer = text_of(where, "problem", row["problem"]), text_of(where, "answer", row["answer"])
    choices: object = row.get("choices")
    if choices is None:
        return Problem(name, text, answer)
    if not isinstance(choices, list):
        raise InputError(f"{where}: 'choices' must be a list of texts")
    options = [text_of(where, "choices", option) for option in cast("list[object]", choices)]
    if not 2 <= len(options) <= len(LETTERS):
        raise InputError(f"{where}: 'choices' has {len(options)} options; 2 to {len(LETTERS)} can be asked")
    if answer not in options:
        raise InputError(f"{where}: 'answer' must be one of 'choices', word for word; it is {answer!r}")
    wrong = [option for option in options if option != answer]
    return choice_problem(name, text, answer, wrong, seed)
