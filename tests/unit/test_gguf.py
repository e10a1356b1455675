"""Vocabularies read from the head of GGUF files."""

from collections.abc import Sequence
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from specreason.errors import ModelFileError
from specreason.models.gguf import vocabulary


def text(value: str) -> bytes:
    return pack("<Q", len(value.encode())) + value.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + pack("<I", kind) + value


def model(folder: Path, tokens: Sequence[str], kind: str = "gpt2", split: str = "words") -> Path:
    """A GGUF file with entries of every shape around the vocabulary."""
    entries = [
        entry("general.alignment", 4, pack("<I", 32)),
        entry("general.flag", 7, b"\x01"),
        entry("tokenizer.ggml.scores", 9, pack("<IQ3f", 6, 3, 0.0, 1.0, 2.0)),
        entry("tokenizer.ggml.model", 8, text(kind)),
        entry("tokenizer.ggml.pre", 8, text(split)),
        entry("tokenizer.ggml.tokens", 9, pack("<IQ", 8, len(tokens)) + b"".join(map(text, tokens))),
        entry("general.size", 10, pack("<Q", 1)),
    ]
    path = folder / f"{kind}-{split}-{len(tokens)}-{hash(tuple(tokens))}.gguf"
    path.write_bytes(b"GGUF" + pack("<IQQ", 3, 0, len(entries)) + b"".join(entries))
    return path


def test_kind_and_tokens_are_read(tmp_path: Path) -> None:
    found = vocabulary(model(tmp_path, ["a", "é", " b"]))
    assert found.kind == "gpt2/words"
    assert found.tokens == (b"a", "é".encode(), b" b")
    assert found.told.startswith("gpt2/words, 3 tokens, fingerprint ")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"tokens": ["a", "b"]}, True),
        ({"tokens": ["a", "b", *(f"[PAD{n}]" for n in range(128))]}, True),
        ({"tokens": ["a", "b", *(f"[PAD{n}]" for n in range(129))]}, False),
        ({"tokens": ["b", "a"]}, False),
        ({"tokens": ["a", "b"], "kind": "llama"}, False),
        ({"tokens": ["a", "b"], "split": "bytes"}, False),
    ],
)
def test_two_are_the_same_if_ids_mean_the_same(tmp_path: Path, other: dict[str, Any], same: bool) -> None:
    first, second = vocabulary(model(tmp_path, ["a", "b"])), vocabulary(model(tmp_path, **other))
    assert first.same_as(second) is same
    assert second.same_as(first) is same


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(64), b"GGUF" + b"\xff" * 64])
def test_a_file_without_a_vocabulary_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"broken\.gguf"):
        vocabulary(path)
