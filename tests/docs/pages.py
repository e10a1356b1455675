"""The pages of the documentation, taken apart: blocks, commands, links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Lines of a shell block, those that a backslash continues joined."""
        if self.language not in {"", "sh", "bash"}:
            return []
        return self.text.replace("\\\n", " ").splitlines()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page, of one language or of all."""
    found = [Block(*parts) for parts in _FENCE.findall(text_of(page))]
    return [block for block in found if language in {None, block.language}]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return _FENCE.sub("", text_of(page))


def commands(page: Path) -> Iterator[list[str]]:
    """Every `specreason ...` of the page's shell blocks, as words; pipes and redirections are cut off."""
    for block in blocks(page):
        for line in block.commands:
            for part in re.split(r" \| ", line):
                found = re.search(r"(?:^|[ /])(specreason [^#>]*)", re.sub(r" [12]?[<>] ?\S+", "", part))
                if found and not part.lstrip().startswith(("pip ", "#")):
                    yield shlex.split(found[1])
