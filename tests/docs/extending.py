"""The package that docs/extending.md builds, put where an interpreter finds it as if it were installed."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
TOY = {"SPECREASON_BASE__KIND": "toy", "SPECREASON_SMALL__KIND": "toy"}
_FILE = re.compile(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Package:
    """`folder` holds the page's files."""

    folder: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of this environment, in the folder, with the page's toy models."""
        program = [str(Path(sys.executable).parent / command[0]), *command[1:]]
        return subprocess.run(
            program, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        path = os.pathsep.join(part for part in (str(self.folder), os.environ.get("PYTHONPATH", "")) if part)
        return {**os.environ, **TOY, "PYTHONPATH": path, "COLUMNS": "200", **(more or {})}


def built(folder: Path) -> Package:
    """The files of the page's blocks, and the entry points that its pyproject.toml declares."""
    for name, text in _FILE.findall(PAGE):
        if name == "specreason.toml":
            continue
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"my_rules-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    groups = project["entry-points"].items()
    lines = [
        line for group, names in groups for line in (f"[{group}]", *(f"{n} = {v}" for n, v in names.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "problems.jsonl").write_text(
        '{"id": "1", "problem": "What is 12 * 13?", "answer": "156"}\n', encoding="utf-8"
    )
    return Package(folder)
