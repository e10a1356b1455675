"""Text that looks like a chat template's control token must stay text.

A problem that contains `<|im_end|>` would otherwise close the user's turn. Where a tokenizer can be told to
read control tokens as text, that is used. Elsewhere the text is cut inside everything that looks like one,
and the parts are tokenised apart: no tokenizer joins them again.
"""

import itertools
import re

# <|im_end|>, </s>, <start_of_turn>, [INST], [/INST], [gMASK], <<SYS>>
_LOOKS_LIKE_CONTROL = re.compile(r"<[^<>\s]{1,64}>|\[/?[A-Za-z_]{2,32}\]")
# The same, found at every place, also inside another match.
_STARTS_LIKE_CONTROL = re.compile(f"(?={_LOOKS_LIKE_CONTROL.pattern})")
_WORD_JOINER = "\u2060"


def looks_like_control(text: str) -> bool:
    """Whether `text` holds anything that some model's tokenizer may read as a control token."""
    return _LOOKS_LIKE_CONTROL.search(text) is not None


def parts(text: str) -> list[str]:
    """`text` cut inside every possible control token; joined, the parts are `text` again."""
    cuts = [match.start() + 1 for match in _STARTS_LIKE_CONTROL.finditer(text)]
    edges = [0, *cuts, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges) if b > a]


def defused(text: str) -> str:
    """`text` for engines that take no token ids: an invisible word joiner inside every control token."""
    return _WORD_JOINER.join(parts(text))
