"""What the head of a GGUF file tells without loading the model: its vocabulary, and how long it must be.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from struct import Struct, error
from typing import Final

from specreason.errors import ModelFileError

_U32, _U64 = Struct("<I"), Struct("<Q")
_STRING, _ARRAY = 8, 9
# Bytes of a value of each type; strings and arrays tell their own length.
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
# Bytes of 256 elements of a tensor, by type (GGML_QUANT_SIZES of llama.cpp's gguf-py).
_PER_256: Final = {
    0: 1024, 1: 512, 2: 144, 3: 160, 6: 176, 7: 192, 8: 272, 10: 84, 11: 110, 12: 144, 13: 176, 14: 210,
    15: 292, 16: 66, 17: 74, 18: 98, 19: 50, 20: 144, 21: 110, 22: 82, 23: 136, 29: 56, 30: 512, 34: 54,
    35: 66, 39: 136,
}  # fmt: skip
_ALIGNMENT = 32  # where the file does not tell another one
# llama.cpp takes two vocabularies for one if they differ in so many entries at the end, which only pad.
_PADDING = 128


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`kind`: how text is split. `tokens`: what each id stands for."""

    kind: str
    tokens: tuple[bytes, ...]

    @property
    def described(self) -> str:
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
    with _head(path) as head:
        texts = _read_head(head).texts
        try:
            kind, split = (texts.get(f"tokenizer.ggml.{key}", (b"",))[0].decode() for key in ("model", "pre"))
        except (UnicodeDecodeError, IndexError) as failure:
            raise ModelFileError(f"{path} cannot be read as a GGUF file ({failure})") from None
    if (tokens := texts.get("tokenizer.ggml.tokens")) is None:
        raise ModelFileError(f"{path} contains no vocabulary")
    return Vocabulary("/".join(part for part in (kind, split) if part), tokens)


def check_whole(path: Path) -> None:
    """Raise ModelFileError if the file is shorter than its head says, as after a download that broke off."""
    with _head(path) as head:
        needed = _read_head(head).length
        if len(head) < needed:
            raise ModelFileError(
                f"{path} is cut off: it has {len(head):,} bytes of at least {needed:,}. Download it again."
            )


@dataclass(frozen=True, slots=True)
class _Head:
    """`texts`: the metadata that are strings or lists of strings. `length`: bytes that the file must have."""

    texts: Mapping[str, tuple[bytes, ...]]
    length: int


@contextmanager
def _head(path: Path) -> Generator[mmap.mmap]:
    """The file's bytes. Raises ModelFileError if they cannot be read, also from within."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as head:
            yield head
    except error as failure:
        raise ModelFileError(
            f"{path} is cut off or damaged: it ends within its head ({failure}). Download it again."
        ) from None
    except (OSError, OverflowError, ValueError, KeyError) as failure:
        raise ModelFileError(f"{path} cannot be read as a GGUF file ({failure})") from None


def _read_head(head: mmap.mmap) -> _Head:
    tensors: int
    entries: int
    (tensors,), (entries,) = _U64.unpack_from(head, 8), _U64.unpack_from(head, 16)  # after magic and version
    at, alignment = 24, _ALIGNMENT
    texts: dict[str, tuple[bytes, ...]] = {}
    for _ in range(entries):
        key, at = _string(head, at)
        (kind,) = _U32.unpack_from(head, at)
        if key == b"general.alignment":
            (alignment,) = _U32.unpack_from(head, at + 4)
        value, at = _value(head, at + 4, kind)
        if value:
            texts[key.decode()] = value
    ends = [0]
    for _ in range(tensors):
        end, at = _tensor(head, at)
        ends.append(end)
    data = -(-at // alignment) * alignment if tensors else at
    return _Head(texts, data + max(ends))


def _tensor(head: mmap.mmap, at: int) -> tuple[int, int]:
    """Where a tensor ends, counted from the first one's start; and where the next one is described."""
    _, at = _string(head, at)
    (dimensions,) = _U32.unpack_from(head, at)
    sizes = [_U64.unpack_from(head, at + 4 + 8 * n)[0] for n in range(dimensions)]
    at += 4 + 8 * dimensions
    (kind,), (offset,) = _U32.unpack_from(head, at), _U64.unpack_from(head, at + 4)
    return offset + prod(sizes) * _PER_256.get(kind, 0) // 256, at + 12


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
