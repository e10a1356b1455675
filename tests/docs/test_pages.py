"""The pages hold together: navigation, links, blocks, generated parts, words."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pages import DOCS, GUIDES, PAGES, ROOT, blocks, prose, text_of

import specreason
from specreason import Settings

NOT_SETTINGS = ("[project", "[build-system", "[tool.", "[policy.steady]")


def ids(pages: list[Path]) -> list[Any]:
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages]


def test_every_page_is_in_the_navigation() -> None:
    navigation = text_of(ROOT / "zensical.toml").partition("nav = [")[2].partition("\n]")[0]
    listed = re.findall(r'= "([^"]+\.md)"', navigation)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", head)).strip().lower().replace(" ", "-") for head in heads
    }


@pytest.mark.parametrize("page", ids(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), target
        if anchor:
            assert anchor in anchors(other), target


@pytest.mark.parametrize("page", ids([page for page in PAGES if blocks(page, "toml")]))
def test_settings_shown_are_valid(page: Path) -> None:
    for block in blocks(page, "toml"):
        if not any(mark in block.text for mark in NOT_SETTINGS):
            Settings.model_validate(tomllib.loads(block.text))


@pytest.mark.parametrize("page", ids([page for page in PAGES if blocks(page, "json")]))
def test_json_shown_is_json(page: Path) -> None:
    for block in blocks(page, "json"):
        try:
            json.loads(block.text)
        except json.JSONDecodeError:
            assert [json.loads(line) for line in block.text.splitlines()]


def test_the_generated_references_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = text_of(DOCS / "configuration.md")
    assert "## `[policy.specreason]`" in page
    assert "[models.NAME]" in page


def test_one_vocabulary() -> None:
    words = re.compile(r"\b(told|begun|pens?|seats?|salvaged?|outdone)\b", re.IGNORECASE)
    found = [(page.name, word) for page in PAGES for word in words.findall(text_of(page))]
    assert found == []


def test_every_word_of_the_glossary_is_explained_once() -> None:
    words = re.findall(r"^\| ([^|]+) \| [^|]{10,}\|$", text_of(DOCS / "glossary.md"), re.MULTILINE)
    assert len(words) > 60
    assert sorted({word for word in words if words.count(word) > 1} - {"word"}) == []


@pytest.mark.parametrize("page", ids(GUIDES))
def test_no_paragraph_is_long(page: Path) -> None:
    text = re.sub(r"^[|#].*$|^(?= *(?:[-*]|\d+\.) )", "\n", prose(page), flags=re.MULTILINE)
    long = [part.strip() for part in re.split(r"\n\s*\n", text) if len(part.strip()) > 5 * 130]
    assert [part[:80] for part in long] == []


def test_the_public_names_are_these() -> None:
    assert specreason.__all__ == [
        "Accept", "AnswerDelta", "CallEnded", "ConfigError", "Context", "ContextOverflow", "Drafts",
        "EngineError", "EngineRejected", "EngineSettings", "EngineTimeout", "EngineUnavailable",
        "Event", "Failed", "Fallback", "Finished", "InputError", "Interrupted", "ModelFileError",
        "More", "Policy", "PolicyError", "PolicySpec", "Reading", "ReasoningSettings", "Reject",
        "Result", "RunOptions", "SamplingSettings", "ServerSettings", "Settings", "Signal",
        "SignalMeasured", "Signals", "SpecReason", "SpecReasonError", "Started", "StepDrafted",
        "StepKept", "StepRecord", "StepRejected", "StepStart", "Task", "ThinkingEnded", "Tokens",
        "Write", "fold", "load_settings",
    ]  # fmt: skip
    assert all(hasattr(specreason, name) for name in specreason.__all__)
