"""Every command on a page: options, settings, variables and targets that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
from pages import DOCS, GUIDES, PAGES, ROOT, commands, prose, text_of
from typer.main import get_command

from specreason.cli.app import app
from specreason.cli.eval.axes import cells_from
from specreason.config import load_settings
from specreason.config.load import ENV_OTHER, env_name, setting_keys

# Its policies are those of its own package; tests/docs/test_extending.py runs its commands.
OWN = DOCS / "extending.md"
SECTIONS = ("base", "small", "reasoning", "policy", "sampling", "server")


def by_page() -> list[Any]:
    return [
        pytest.param(page, id=page.relative_to(ROOT).as_posix())
        for page in [*PAGES, ROOT / "lab" / "README.md"]
        if page != OWN and list(commands(page))
    ]


def parsed(words: list[str]) -> dict[str, Any]:
    """The values of a command's options, by name. Raises UsageError for an unknown or a missing one."""
    command: Any = get_command(app)
    context = command.make_context("specreason", words[1:], resilient_parsing=False)
    while isinstance(getattr(command, "commands", None), dict):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, list(rest), parent=context)
    return context.params


@pytest.mark.parametrize("page", by_page())
def test_the_options_and_settings_of_a_page_are_there(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "examples")
    for words in commands(page):
        given = parsed(words)
        sets = given.get("set_") or ()
        flags = {"pair": given.get("pair"), "reasoning.scheme": given.get("scheme")}
        load_settings(None, flags, env={}, sets=sets)
        if given.get("vary"):
            cells_from(given["vary"], given["concurrency"], None, given.get("pair"), sets)


def test_commands_named_in_the_text_are_there() -> None:
    for page in GUIDES:
        for text in re.findall(r"`specreason ([^`]+)`", prose(page)):
            command: Any = get_command(app)
            for word in text.split():
                if word in getattr(command, "commands", {}):
                    command = command.commands[word]
            options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert set(re.findall(r"--[a-z-]+", text)) <= options, (page.name, text)
            assert not getattr(command, "commands", {}) or text.split()[-1] in {"eval", "models", "lab"}, text


def test_an_option_that_is_gone_is_found_out() -> None:
    with pytest.raises(Exception, match="--threshold"):
        parsed(["specreason", "solve", "What?", "--threshold", "8"])


def test_every_variable_of_the_environment_is_known() -> None:
    of_inspect = {"SPECREASON_API_KEY", "SPECREASON_BASE_URL"}  # its names for a provider that we call so
    known = {env_name(key) for key in setting_keys()} | ENV_OTHER | of_inspect
    for page in GUIDES:
        shown = set(re.findall(r"\bSPECREASON_[A-Z_]+\b", text_of(page)))
        assert shown <= known, page.name


def test_every_setting_in_the_text_is_known() -> None:
    known = set(setting_keys())
    sections = {key[:dot] for key in known for dot, sign in enumerate(key) if sign == "."}
    for page in GUIDES:
        if page in {OWN, DOCS / "api.md"}:  # there `reasoning.effort` is a field of a request
            continue
        shown = set(re.findall(rf"`((?:{'|'.join(SECTIONS)})\.[a-z_.]+?)(?: = [^`]+)?`", text_of(page)))
        assert shown <= known | sections, page.name


def test_every_target_of_make_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    for page in PAGES:
        shown = set(re.findall(r"(?:^|`)make ([a-z-]+)", text_of(page), re.MULTILINE))
        assert shown <= targets, page.name


def test_the_options_of_benchmarks_are_there() -> None:
    shared = text_of(ROOT / "benchmarks" / "measuring.py")
    for page in PAGES:
        for module, options in re.findall(r"python -m benchmarks\.(\w+)([^`]*)`", text_of(page)):
            source = text_of(ROOT / "benchmarks" / f"{module}.py") + shared
            for option in re.findall(r"--[a-z-]+", options):
                assert f'"{option}"' in source, (page.name, module, option)


def test_every_file_named_in_a_page_is_there() -> None:
    pattern = r"`((?:examples|benchmarks|lab|tests|deploy|src|docs)/[\w./-]+)`"
    for page in PAGES:
        for name in re.findall(pattern, text_of(page)):
            assert (ROOT / name).exists(), (page.name, name)
