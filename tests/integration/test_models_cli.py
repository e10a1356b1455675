"""`specreason models` as a user meets it; the files are put into the cache by hand, nothing is downloaded."""

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from specreason.cli.models import app
from specreason.errors import ConfigError, ModelFileError
from specreason.models import catalogue
from specreason.models.catalogue import Pair, Weights

CONTENT = b"GGUF" + b"weights" * 50


def named(name: str) -> Weights:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Weights(name, f"{name}.gguf", len(CONTENT), digest, (), "CC0-1.0", 1, 8, "")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of two small models in a pair, and an empty cache."""
    large, small = named("large"), named("small")
    monkeypatch.setattr(catalogue, "WEIGHTS", {"large": large, "small": small})
    monkeypatch.setitem(catalogue.PAIRS, catalogue.EMBEDDED_PAIR, Pair("qwen-coder", large, small, ""))
    monkeypatch.setenv("SPECREASON_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def run(*arguments: str) -> str:
    """What the command prints; an error that it raises comes out as it is."""
    return CliRunner().invoke(app, arguments, catch_exceptions=False).stdout


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.gguf").write_bytes(CONTENT)


def test_list_shows_models_and_the_pairs_of_the_paper(folder: Path):
    put(folder, "small")
    shown = run("list")
    for part in ("large", "CC0-1.0", "yes", "no", "qwen-coder", "Qwen/QwQ-32B", "Zyphra/ZR1-1.5B", "r1-70b"):
        assert part in shown


def test_list_as_json_is_for_programs(folder: Path):
    put(folder, "small")
    listed = json.loads(run("list", "--json"))
    assert {item["name"]: item["present"] for item in listed["models"]} == {"large": False, "small": True}
    assert listed["models"][0]["path"] == str(folder / "large.gguf")
    assert "skywork-zr1" in [pair["name"] for pair in listed["pairs"]]


@pytest.mark.parametrize("names", [(), ("qwen-coder",), ("large", "small")])
def test_pull_says_what_is_already_here(names: tuple[str, ...], folder: Path):
    put(folder, "large", "small")
    assert run("pull", *names).count("already here") == 2


def test_pull_fails_plainly_when_no_source_delivers():
    with pytest.raises(ModelFileError, match="Could not fetch small"):
        run("pull", "small")


def test_pull_of_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match="Nearest: qwen-coder"):
        run("pull", "qwen-code")


def test_verify_checks_what_is_here(folder: Path):
    put(folder, "small")
    assert run("verify") == f"small: right ({folder / 'small.gguf'})\n"


def test_verify_without_any_file_says_so():
    with pytest.raises(ModelFileError, match="no model files"):
        run("verify")


def test_verify_names_all_that_is_wrong(folder: Path):
    (folder / "small.gguf").write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(ModelFileError) as error:
        run("verify", "large", "small")
    assert "large are not on this machine" in str(error.value)
    assert "small.gguf is damaged" in str(error.value)
    assert error.value.exit_code == 1


def test_verify_finds_a_truncated_file_without_being_told_its_name(folder: Path):
    (folder / "large.gguf").write_bytes(CONTENT[:10])
    with pytest.raises(ModelFileError, match="10 bytes, expected 354"):
        run("verify")


def test_path_prints_the_path_and_nothing_else(folder: Path):
    put(folder, "small")
    assert run("path", "small") == f"{folder / 'small.gguf'}\n"


def test_path_of_a_missing_file_is_an_error():
    with pytest.raises(ModelFileError, match="specreason models pull small"):
        run("path", "small")
