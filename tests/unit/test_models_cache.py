import hashlib
from pathlib import Path

import pytest

from specreason.errors import ConfigError, ModelFileError
from specreason.models import cache, catalogue
from specreason.models.catalogue import Weights

CONTENT = b"GGUF" + bytes(range(256)) * 20


def tiny(content: bytes = CONTENT, name: str = "tiny") -> Weights:
    return Weights(
        name=name,
        file=f"{name}.gguf",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        sources=(),
        licence="CC0-1.0",
        parameters=1,
        context=8,
        note="",
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPECREASON_CACHE", str(tmp_path))
    monkeypatch.setitem(catalogue.WEIGHTS, "tiny", tiny())
    models = tmp_path / "models"
    models.mkdir()
    return models


def test_files_live_where_the_environment_says(folder: Path):
    assert cache.path_of(tiny()) == folder / "tiny.gguf"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_files_live_in_the_users_cache_otherwise(value: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SPECREASON_CACHE", raising=False)
    if value is not None:
        monkeypatch.setenv("SPECREASON_CACHE", value)
    assert cache.folder().is_absolute()
    assert "specreason" in cache.folder().parts


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPECREASON_CACHE", "~/weights")
    assert cache.folder() == Path.home() / "weights" / "models"


def test_presence_needs_the_whole_file(folder: Path):
    assert not cache.is_present(tiny())
    (folder / "tiny.gguf").write_bytes(CONTENT[:-1])
    assert not cache.is_present(tiny())
    (folder / "tiny.gguf").write_bytes(CONTENT)
    assert cache.is_present(tiny())


def test_missing_weights_name_the_command_that_fetches_them(folder: Path):
    with pytest.raises(ModelFileError, match="specreason models pull tiny"):
        cache.require("tiny")


def test_weights_of_the_wrong_size_are_refused(folder: Path):
    (folder / "tiny.gguf").write_bytes(CONTENT[:-1])
    with pytest.raises(ModelFileError, match="5,123 bytes, expected 5,124"):
        cache.require("tiny")


def test_require_takes_a_name_or_a_path(folder: Path, tmp_path: Path):
    (folder / "tiny.gguf").write_bytes(CONTENT)
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF" + bytes(20))
    assert cache.require("tiny") == folder / "tiny.gguf"
    assert cache.require(own) == own
    assert cache.require(str(own)) == own


def test_a_path_to_nothing_is_an_error_about_the_file(tmp_path: Path):
    with pytest.raises(ModelFileError, match=r"no model file .*nowhere\.gguf"):
        cache.require(str(tmp_path / "nowhere.gguf"))


def test_a_web_page_saved_as_a_model_is_refused(tmp_path: Path):
    page = tmp_path / "page.gguf"
    page.write_bytes(b"<html>")
    with pytest.raises(ModelFileError, match="not a GGUF file"):
        cache.require(page)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (None, "is a folder"), (b"GGUF" + bytes(10), "is cut off")]
)
def test_a_file_that_holds_no_model_is_told_from_one(tmp_path: Path, content: bytes | None, words: str):
    path = tmp_path / "m.gguf"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"m\.gguf {words}"):
        cache.require(path)


def test_a_bare_word_is_taken_for_a_name():
    with pytest.raises(ConfigError, match="Nearest: smollm2-135m-instruct"):
        cache.require("smollm2")


def test_a_hub_name_is_no_file():
    with pytest.raises(ModelFileError, match="GPU server"):
        cache.require("Qwen/QwQ-32B")


def test_verify_accepts_the_right_bytes(folder: Path):
    (folder / "tiny.gguf").write_bytes(CONTENT)
    assert cache.verify(tiny()) == folder / "tiny.gguf"


def test_verify_finds_a_flipped_byte_and_names_the_way_out(folder: Path):
    flipped = bytearray(CONTENT)
    flipped[3000] ^= 1
    (folder / "tiny.gguf").write_bytes(flipped)
    found = hashlib.sha256(flipped).hexdigest()
    with pytest.raises(ModelFileError) as error:
        cache.verify(tiny())
    for part in ("tiny.gguf", tiny().sha256, found, "specreason models pull --force tiny"):
        assert part in str(error.value)
