"""Vocabularies read from the head of GGUF files."""

from collections.abc import Sequence
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from specreason.errors import ModelFileError
from specreason.models.gguf import check_whole, vocabulary


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
    assert found.described.startswith("gpt2/words, 3 tokens, fingerprint ")


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


def tensors(*told: tuple[int, int, list[int]], data: int, alignment: int = 32) -> bytes:
    """A file of tensors, told by type, offset and sizes, with so many bytes of data."""
    entries = entry("general.alignment", 4, pack("<I", alignment))
    infos = b"".join(
        text(f"t{n}") + pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)
        for n, (kind, offset, sizes) in enumerate(told)
    )
    head = b"GGUF" + pack("<IQQ", 3, len(told), 1) + entries + infos
    return head + bytes(-len(head) % alignment + data)


@pytest.mark.parametrize(
    "whole",
    [
        tensors((0, 0, [3, 5]), data=60),  # 32-bit numbers
        tensors((1, 0, [8]), (8, 32, [32, 2]), data=32 + 2 * 34, alignment=16),  # 16 bits; blocks of 8 bits
        tensors((14, 64, [256, 3]), (30, 0, [32]), data=64 + 3 * 210),  # blocks of 6 bits, told of first
        tensors((999, 96, [4]), data=96),  # a type of later times: up to where it begins
    ],
)
def test_a_file_that_is_cut_off_is_told_from_a_whole_one(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(whole)
    check_whole(path)
    for length in (len(whole) - 1, 70, 30):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"m\.gguf is cut off"):
            check_whole(path)
