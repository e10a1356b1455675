"""The vocabulary of a GGUF file, read from its head without loading the model."""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from struct import Struct, error
from typing import Final

from specreason.errors import ModelFileError

_U32, _U64 = Struct("<I"), Struct("<Q")
_STRING, _ARRAY = 8, 9
# Bytes of a value of each type; strings and arrays tell their own length.
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
# llama.cpp takes two vocabularies for one if they differ in so many entries at the end, which only pad.
_PADDING = 128


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`kind`: how text is split. `tokens`: what each id stands for."""

    kind: str
    tokens: tuple[bytes, ...]

    @property
    def told(self) -> str:
        """In a few words, for those who have to compare two of them."""
        digest = sha256(b"\0".join(self.tokens)).hexdigest()[:8]
        return f"{self.kind}, {len(self.tokens):,} tokens, fingerprint {digest}"

    def same_as(self, other: "Vocabulary") -> bool:
        """Whether an id stands for the same text in both."""
        shared = min(len(self.tokens), len(other.tokens))
        return (
            self.kind == other.kind
            and abs(len(self.tokens) - len(other.tokens)) <= _PADDING
            and self.tokens[:shared] == other.tokens[:shared]
        )


def vocabulary(path: Path) -> Vocabulary:
    """The vocabulary of the model at `path`. Raises ModelFileError if the file does not hold one."""
    kind, split, tokens = "", "", None
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as head:
            for key, value in _entries(head):
                match key:
                    case "tokenizer.ggml.model":
                        kind = value[0].decode()
                    case "tokenizer.ggml.pre":
                        split = value[0].decode()
                    case "tokenizer.ggml.tokens":
                        tokens = value
                    case _:
                        pass
    except (OSError, OverflowError, ValueError, KeyError, error) as failure:
        raise ModelFileError(f"{path} cannot be read as a GGUF file ({failure})") from None
    if tokens is None:
        raise ModelFileError(f"{path} holds no vocabulary")
    return Vocabulary("/".join(part for part in (kind, split) if part), tokens)


def _entries(head: mmap.mmap) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Keys and values of the metadata; of the values only strings and lists of strings, else nothing."""
    count: int
    (count,) = _U64.unpack_from(head, 16)  # after magic, version, number of tensors
    at = 24
    for _ in range(count):
        key, at = _string(head, at)
        (kind,) = _U32.unpack_from(head, at)
        value, at = _value(head, at + 4, kind)
        yield key.decode(), value


def _value(head: mmap.mmap, at: int, kind: int) -> tuple[tuple[bytes, ...], int]:
    if kind == _STRING:
        text, at = _string(head, at)
        return (text,), at
    if kind != _ARRAY:
        return (), at + _SIZES[kind]
    (inner,) = _U32.unpack_from(head, at)
    (length,) = _U64.unpack_from(head, at + 4)
    at += 12
    if inner != _STRING:
        return (), at + _SIZES[inner] * length
    texts: list[bytes] = []
    for _ in range(length):
        text, at = _string(head, at)
        texts.append(text)
    return tuple(texts), at


def _string(head: mmap.mmap, at: int) -> tuple[bytes, int]:
    (length,) = _U64.unpack_from(head, at)
    start: int = at + 8
    return head[start : start + length], start + length
