"""Policies, schedules and repairs are found by what they are, and nothing else asks for their names."""

import ast
import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import specreason
from specreason import extensions as found
from specreason.config import Scheme
from specreason.config.scheme import known_schemes

SOURCE = Path(specreason.__file__).parent


def test_our_own_are_the_modules_of_a_room() -> None:
    assert list(found.extensions("policies")) == ["base", "small", "specreason"]
    assert set(found.extensions("repairs")) == {"hedge", "keep_prefix", "rewrite"}
    assert set(found.extensions("schedules")) == {"lookahead", "sequential"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_package:POLICY", r"entry point 'theirs' of specreason.policies \(no_such_package:POLICY\)"),
        ("specreason.reasoning.policies.base_alone:POLICY", "is named 'base', as another one is already"),
    ],
)
def test_what_cannot_be_loaded_says_whose_it_is(
    value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(*, group: str) -> list[EntryPoint]:
        return [EntryPoint("theirs", value, group)]

    monkeypatch.setattr(found, "entry_points", installed)
    good, faults = found.discovered.__wrapped__("policies")
    assert list(good) == list(found.own("policies"))
    assert re.search(message, faults["theirs"])

    def faulty(kind: str) -> dict[str, str]:
        return faults

    monkeypatch.setattr("specreason.config.scheme.broken", faulty)
    with pytest.raises(ValueError, match=message):
        Scheme.parse("theirs")


@pytest.mark.parametrize("text", known_schemes())
def test_a_scheme_is_what_it_was_parsed_from(text: str) -> None:
    scheme = Scheme.parse(text)
    assert str(scheme) == text
    assert Scheme.parse(scheme) is scheme
    assert scheme.speculates == (scheme.alone is None)


def test_the_small_model_has_no_decoder_to_write_with() -> None:
    with pytest.raises(ValueError, match="it must be one of"):
        Scheme.parse("small+decode")


@pytest.mark.parametrize(
    "module",
    [path for path in SOURCE.rglob("*.py") if "policies" not in path.parts],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_nothing_outside_the_policies_compares_their_names(module: Path) -> None:
    names = {*known_schemes(), *found.extensions("policies")}
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            texts = {
                inner.value for side in sides for inner in ast.walk(side) if isinstance(inner, ast.Constant)
            }
            about = ast.unparse(node)
            asks = re.search(r"scheme|policy", about) and "roles" not in about
            alone = {"base", "small", "base+decode"}  # names of engines, too
            wrong = texts & (names if asks else names - alone)
            assert not wrong, f"{module.name}, line {node.lineno}: {about}"
