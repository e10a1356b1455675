"""Every Python block of the pages: compiled; run, unless it needs another program or a network."""

import re
from pathlib import Path
from typing import Any

import pytest
from extending import Package, built
from pages import DOCS, PAGES, ROOT, blocks
from serving import pair, served_in_a_thread

from specreason import Settings

# Of other harnesses (make test-clients runs them), and of pages that have tests of their own.
ELSEWHERE = {"evaluation.md", "extending.md", "emulation.md"}
PYTHON = [
    pytest.param(page, block.text, id=f"{page.relative_to(ROOT).as_posix()}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "python"))
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Blocks that solve a problem do so on the toy models of docs/extending.md."""
    found = built(tmp_path_factory.mktemp("blocks"))
    assert found.run("specreason", "solve", "What is 12 * 13?", "--trace", "run.jsonl").returncode == 0
    return found


@pytest.mark.parametrize(("page", "text"), PYTHON)
def test_a_block_is_python(page: Path, text: str) -> None:
    compile(text, str(page), "exec")


@pytest.mark.parametrize(
    ("page", "text"), [one for one in PYTHON if Path(str(one.values[0])).name not in ELSEWHERE]
)
def test_a_block_runs(page: Path, text: str, package: Package) -> None:
    if "OpenAI(" in text:
        with served_in_a_thread(pair(), Settings.model_validate({"server": {"port": 0}})) as url:
            names: dict[str, Any] = {}
            exec(text.replace("http://127.0.0.1:8080", url), names)
        assert names["reply"].choices[0].message.content
        return
    done = package.run("python", "-c", text)
    assert done.returncode == 0, done.stderr
    if "result.answer" in text and "asyncio.run" in text:
        assert "156" in done.stdout


def test_the_blocks_of_the_emulation_are_two_and_both_are_whole() -> None:
    example, timed = (block.text for block in blocks(DOCS / "emulation.md", "python"))
    assert re.search(r"run_skipping\(main\(\)\)", example)  # run by tests/integration/test_emulation_docs.py
    names: dict[str, Any] = {}
    exec(timed, names)
    assert names["timed"]
