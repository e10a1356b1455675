"""Every name on docs/how-it-works.md is one of the code's, of a setting, of an event or of a file."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

from pages import DOCS, ROOT, prose, text_of

from specreason.config.load import setting_keys
from specreason.config.scheme import known_schemes
from specreason.reasoning.events import Ended, Event

SOURCE = ROOT / "src" / "specreason"
PAGE = DOCS / "how-it-works.md"
# Commands of others, and texts that are no names.
OTHERS = {"lint-imports", "+decode"}


def _defined(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name):
                yield prefix + name
                yield from _defined(node, f"{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name
            case _:
                pass


@cache
def names() -> set[str]:
    """What may stand in backticks, by itself or as CLASS.MEMBER."""
    found = {name for file in SOURCE.rglob("*.py") for name in _defined(ast.parse(text_of(file)))}
    found |= {name.rpartition(".")[2] for name in found}
    keys = set(setting_keys())
    events = {event.__dataclass_fields__["event"].default for event in get_args(Event)}
    return (
        found
        | keys
        | {key.rpartition(".")[2] for key in keys}
        | events
        | {*get_args(Ended), *known_schemes()}
    )


def known(text: str) -> bool:
    if text.startswith(("specreason ", "examples/")):
        return text.startswith("specreason ") or (ROOT / text).is_file()
    if "/" in text or text.endswith(".py") or (SOURCE / text).is_dir():
        return (SOURCE / text).exists()
    name, _, value = text.partition(" = ")
    return text in OTHERS | names() or (bool(value) and name in names())


def test_every_name_is_known() -> None:
    quoted = set(re.findall(r"`([^`]+)`", prose(PAGE)))
    assert len(quoted) > 80
    assert sorted(text for text in quoted if not known(text)) == []


def test_a_name_that_is_gone_is_found_out() -> None:
    assert not known("Loop.salvage")
    assert not known("reasoning/judging.py")
    assert not known("judge_signal")


def test_the_order_of_events_names_events() -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```", text_of(PAGE), re.MULTILINE | re.DOTALL)
    words = set(re.findall(r"\b[a-z]+_[a-z]+\b", shown)) - {"keep_prefix"}
    assert len(words) > 5
    assert words <= names()


def test_every_room_is_described() -> None:
    rooms = {path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("__init__.py")}
    inner = {"cli/eval", "emulate/server", "eval/report", "eval/calibration", "."}
    page = text_of(PAGE)
    assert sorted(room for room in rooms - inner if f"| `{room}/` |" not in page) == []


def test_the_picture_is_there_in_light_and_dark() -> None:
    picture = text_of(DOCS / "method.svg")
    assert "prefers-color-scheme: dark" in picture
    for page, at in ((PAGE, "method.svg"), (ROOT / "README.md", "docs/method.svg")):
        assert f"]({at})" in text_of(page), Path(page).name
