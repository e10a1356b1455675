"""The emulated tokenizer: words with the space before them, cut into pieces of at most six bytes.

A token's id is its own text, packed into a number below 2**49. So servers that share nothing agree on every
id, no table has to be kept, and text comes to about as many tokens as with a trained vocabulary.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

TURN, END, THINK, THINK_END = "<|im_start|>", "<|im_end|>", "<think>", "</think>"
_SPECIAL = (TURN, END, THINK, THINK_END)
_SPECIAL_IDS = {text: number for number, text in enumerate(_SPECIAL)}
END_ID = _SPECIAL_IDS[END]

_SPLIT = re.compile(f"({'|'.join(map(re.escape, _SPECIAL))})")
_WORD = re.compile(r"\n\n|\s?\S+|\s")
_LONGEST = 6  # bytes; keeps ids exact in JSON readers that hold numbers as floats


def encode(text: str) -> list[int]:
    """The token ids of `text`; control tokens are read as such."""
    ids: list[int] = []
    for part in _SPLIT.split(text):
        if part in _SPECIAL_IDS:
            ids.append(_SPECIAL_IDS[part])
        else:
            for word in _WORD.findall(part):
                ids += _word_ids(word)
    return ids


def decode(ids: Iterable[int]) -> str:
    """The text of `ids`. Raises ValueError for a number that is no token."""
    return "".join(map(spell, ids))


@lru_cache(maxsize=65536)
def spell(token: int) -> str:
    """The text of one token. Raises ValueError for a number that is no token."""
    if 0 <= token < len(_SPECIAL):
        return _SPECIAL[token]
    length = (token.bit_length() - 1) // 8
    if token < 0 or not 1 <= length <= _LONGEST or token >> (8 * length) != 1:
        raise ValueError(f"{token} is not a token id of the emulated vocabulary")
    return token.to_bytes(length + 1, "big")[1:].decode()


@lru_cache(maxsize=65536)
def _word_ids(word: str) -> Sequence[int]:
    ids: list[int] = []
    held = b""
    for char in word:
        more = char.encode(errors="replace")
        if len(held) + len(more) > _LONGEST:
            ids.append(_packed(held))
            held = b""
        held += more
    return (*ids, _packed(held))


def _packed(data: bytes) -> int:
    # The leading one keeps apart texts that differ only in zero bytes at their start.
    return int.from_bytes(b"\x01" + data, "big")
