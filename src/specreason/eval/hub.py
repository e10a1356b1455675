"""Tasks of the hub, by short names, at pinned revisions: the same problems today and in five years."""

import importlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from specreason.errors import ConfigError, SpecReasonError
from specreason.eval.tasks import Problem, Task, checked, choice_problem


@dataclass(frozen=True, slots=True)
class HubTask:
    """Where a task's rows are. `id`: the column that names a row; empty: its number."""

    repo: str
    revision: str
    split: str
    config: str | None = None
    id: str = ""
    question: str = "problem"
    answer: str = "answer"
    wrong: tuple[str, ...] = ()
    gated: bool = False


HUB_TASKS: Mapping[str, HubTask] = {
    "gsm8k": HubTask(
        "openai/gsm8k", "cc7b047b6e5bb11b4f1af84efc572db110a51b3c", "test", "main", question="question"
    ),
    "math500": HubTask(
        "HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be", "test", id="unique_id"
    ),
    "aime24": HubTask(
        "HuggingFaceH4/aime_2024", "2fe88a2f1091d5048c0f36abc874fb997b3dd99a", "train", id="id"
    ),
    "aime25": HubTask("math-ai/aime25", "563bb8404243c5f09de6ec262f2db674fe5bce9b", "test", id="id"),
    "gpqa-diamond": HubTask(
        "Idavidrein/gpqa",
        "633f5ee89ab8ad4522a9f850766b73f62147ffdd",
        "train",
        "gpqa_diamond",
        id="Record ID",
        question="Question",
        answer="Correct Answer",
        wrong=("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"),
        gated=True,
    ),
}


class TaskUnavailable(SpecReasonError):
    """The hub did not hand out the rows of a task."""


def from_hub(name: str, task: HubTask, seed: int) -> Task:
    """The task's problems. Raises TaskUnavailable, which says what to do, or ConfigError (extra missing)."""
    rows = _rows(name, task)
    problems = [_problem(name, number, row, task, seed) for number, row in enumerate(rows)]
    source = f"{task.repo}@{task.revision[:12]} {task.split}"
    return Task(name, source, checked(problems, source))


def _problem(name: str, number: int, row: Mapping[str, Any], task: HubTask, seed: int) -> Problem:
    label = f"{name}-{row[task.id] if task.id else number}"
    question, answer = str(row[task.question]), str(row[task.answer]).strip()
    if task.wrong:
        wrong = [str(row[column]).strip() for column in task.wrong]
        return choice_problem(label, question, answer, wrong, seed)
    # GSM8K: the worked solution, then the answer after this mark.
    return Problem(label, question, answer.rpartition("####")[2].strip())


def _rows(name: str, task: HubTask) -> Iterable[Mapping[str, Any]]:
    try:
        datasets: Any = importlib.import_module("datasets")
    except ModuleNotFoundError:
        raise ConfigError("tasks of the hub need: pip install 'specreason[eval]'") from None
    try:
        return datasets.load_dataset(task.repo, task.config, split=task.split, revision=task.revision)
    except Exception as error:  # the library passes on what its transports raise: no common root
        raise TaskUnavailable(_failure(name, task, error)) from error


def _failure(name: str, task: HubTask, error: Exception) -> str:
    """What went wrong and what to do. The library's messages are the only sign of why it refused."""
    what = f"task '{name}' ({task.repo} at {task.revision[:12]})"
    page = f"https://huggingface.co/datasets/{task.repo}"
    text = f"{type(error).__name__} {error}"
    if "gated" in text.lower() or "GatedRepo" in text or "401" in text or "403" in text:
        return (
            f"{what} is gated: accept its terms at {page} with your account, then make a token with read "
            "access and set HF_TOKEN (or run `hf auth login`)"
        )
    offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("HF_DATASETS_OFFLINE")
    why = "the hub is switched off here (HF_HUB_OFFLINE)" if offline else "the hub could not be reached"
    first = text.splitlines()[0][:200]
    return (
        f"{what}: {why} ({first}); fetch it once where the hub can be reached (the cache is HF_HOME), or "
        "give a local file of {'id', 'problem', 'answer'} lines to --task"
    )
