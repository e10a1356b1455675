"""A model with a real vocabulary and next to nothing else, so that llama.cpp tokenises as it does."""

import mmap
import random
from array import array
from collections.abc import Iterator
from pathlib import Path
from struct import pack, unpack_from

_U32, _F32, _STRING, _ARRAY = 4, 6, 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_WIDTH, _HIDDEN, _ALIGNED = 32, 32, 32


def write_model(vocabulary: Path, template: str, to: Path) -> None:
    """A GGUF file with the tokenizer of `vocabulary`, one layer of noise, and this chat template."""
    with vocabulary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as head:
        entries = [raw for key, raw in _entries(head) if key.startswith("tokenizer.ggml.")]
        tokens = next(
            unpack_from("<Q", raw, 12 + len("tokenizer.ggml.tokens") + 4)[0]
            for raw in entries
            if raw[8:].startswith(b"tokenizer.ggml.tokens")
        )
    entries.append(_text("general.architecture", "llama"))
    entries.append(_text("tokenizer.chat_template", template))
    shape = {
        "context_length": 2048,
        "embedding_length": _WIDTH,
        "block_count": 1,
        "feed_forward_length": _HIDDEN,
        "attention.head_count": 1,
        "attention.head_count_kv": 1,
        "rope.dimension_count": _WIDTH,
    }
    entries += [_name(f"llama.{key}") + pack("<II", _U32, value) for key, value in shape.items()]
    entries.append(_name("llama.attention.layer_norm_rms_epsilon") + pack("<If", _F32, 1e-5))
    tensors = {
        "token_embd": (_WIDTH, tokens),
        "output_norm": (_WIDTH,),
        "blk.0.attn_norm": (_WIDTH,),
        "blk.0.ffn_norm": (_WIDTH,),
        **{f"blk.0.attn_{part}": (_WIDTH, _WIDTH) for part in ("q", "k", "v", "output")},
        **{f"blk.0.ffn_{part}": (_WIDTH, _HIDDEN) for part in ("gate", "up", "down")},
    }
    _write(to, entries, tensors)


def _write(to: Path, entries: list[bytes], tensors: dict[str, tuple[int, ...]]) -> None:
    noise = array("f", (random.Random(1).uniform(-0.3, 0.3) for _ in range(1 << 16)))
    infos, at = b"", 0
    for name, dimensions in tensors.items():
        infos += _name(f"{name}.weight") + pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        infos += pack("<IQ", 0, at)
        at += 4 * _count(dimensions)  # widths are multiples of the alignment
    with to.open("wb") as file:
        file.write(b"GGUF" + pack("<IQQ", 3, len(tensors), len(entries)))
        file.write(b"".join(entries) + infos)
        file.write(bytes(-file.tell() % _ALIGNED))
        for dimensions in tensors.values():
            count = _count(dimensions)
            whole, rest = divmod(count, len(noise))
            file.write(noise.tobytes() * whole + noise[:rest].tobytes())


def _count(dimensions: tuple[int, ...]) -> int:
    return dimensions[0] * (dimensions[1] if len(dimensions) > 1 else 1)


def _name(key: str) -> bytes:
    return pack("<Q", len(key)) + key.encode()


def _text(key: str, value: str) -> bytes:
    content = value.encode()
    return _name(key) + pack("<IQ", _STRING, len(content)) + content


def _entries(head: mmap.mmap) -> Iterator[tuple[str, bytes]]:
    """The key of each entry of the metadata, and the entry as it stands in the file."""
    (count,) = unpack_from("<Q", head, 16)
    at = 24
    for _ in range(count):
        (length,) = unpack_from("<Q", head, at)
        key = head[at + 8 : at + 8 + length].decode()
        (kind,) = unpack_from("<I", head, at + 8 + length)
        end = _end(head, at + 12 + length, kind)
        yield key, head[at:end]
        at = end


def _end(head: mmap.mmap, at: int, kind: int) -> int:
    if kind == _STRING:
        return at + 8 + unpack_from("<Q", head, at)[0]
    if kind != _ARRAY:
        return at + _SIZES[kind]
    inner, count = unpack_from("<IQ", head, at)
    at += 12
    if inner != _STRING:
        return at + count * _SIZES[inner]
    for _ in range(count):
        at = _end(head, at, inner)
    return at
