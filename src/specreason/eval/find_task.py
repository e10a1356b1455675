"""From what the user calls a task to its problems."""

from pathlib import Path

from specreason.config.assignments import nearest
from specreason.errors import ConfigError
from specreason.eval.hub import HUB_TASKS, from_hub
from specreason.eval.tasks import Task, from_file


def find_task(name: str, seed: int) -> Task:
    """The task of a short name (`HUB_TASKS`) or of a JSON Lines file; `seed` shuffles choices."""
    if found := HUB_TASKS.get(name):
        return from_hub(name, found, seed)
    if Path(name).suffix or Path(name).exists():
        return from_file(Path(name), seed)
    raise ConfigError(f"unknown task '{name}'; {nearest(name, list(HUB_TASKS))} or a file of JSON Lines")
