"""Text that looks like a chat template's control token must stay text.

A problem that contains `<|im_end|>` would otherwise close the user's turn. So text of users and models is cut
inside everything that an engine may read as a control token, and the parts are tokenised apart: no tokenizer
joins them again. Where an engine takes text only, an invisible word joiner stands at the cut.
"""

import itertools
import re
from collections.abc import Callable, Sequence

JOINER = "\u2060"

IsControl = Callable[[str], bool]
"""Whether a tokenizer may read this text as one control token."""

_LONGEST = 66  # characters of a control token
# <|im_end|>, </s>, <start_of_turn>, [INST], [|user|], ]~b], [e~[, ]<]speech[>[
_SHAPE = (
    rf"<[^<>\s{JOINER}]{{1,64}}>"
    rf"|\[[^\[\]\s\d{JOINER}][^\[\]\s{JOINER}]{{1,63}}\]"
    rf"|[\[\]][^\[\]\s{JOINER}]{{0,16}}~[^\[\]\s{JOINER}]{{0,16}}[\[\]]"
    rf"|\]<\][^\[\]<>\s{JOINER}]{{1,32}}\[>\["
)
_SHAPED = re.compile(_SHAPE)
# The same, found at every place, also inside another match.
_STARTS = re.compile(f"(?=({_SHAPE}))")
# A text may end in the beginning of one, and what is written after it go on with that.
_OPEN = rf"(?:<|\[(?!\d)|\]~|\]<)[^<>\[\]\s{JOINER}]{{0,64}}"
_OPEN_AT_END = re.compile(rf"{_OPEN}\Z")
_OPEN_BEFORE_TAG = re.compile(rf"{_OPEN}(?:\Z|(?=[<\[]))")
# Templates heed these in a text and take them out of it, in one order or the other.
_SWITCHES = ("/no_think", "/think")
# What makers of models use, whatever the model: for engines whose tokenizer cannot be asked.
_KNOWN = re.compile(
    r"<[|\uff5c].*|<.*[|\uff5c]>|\[\|.*\|\]|\]~!?b[\[\]]|\[e~\[|\]<\].*"
    r"|</?(?:s|bos|eos|pad|unk|sop|eop|eod|eot|sep|cls|mask|image|turn)>"
    r"|</?(?:think|thinking|thought|reasoning|tool_call|tool_calls|tool_response|tools|answer|SYS)>"
    r"|<(?:start|end)_of_\w+>|<im_(?:start|end|sep)>|</?(?:begin|end)_\w+>"
    r"|<(?:unused|reserved_|reserved_token_|extra_id_|extra_token_)\d+>|<\w+:(?:think|bos|eos|tool_call)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|THINK|ARGS|CALL_ID|IMG"
    r"|gMASK|sMASK|MASK|CLS|SEP|PAD|UNK|BOS|EOS|PREFIX|MIDDLE|SUFFIX|control_\d+)\]",
    re.DOTALL,
)


def anything(_candidate: str) -> bool:
    """Every text that has the shape of a control token."""
    return True


def is_known(candidate: str) -> bool:
    """Whether some well-known model has this control token, or one like it."""
    return _KNOWN.fullmatch(candidate) is not None


def candidates(text: str) -> set[str]:
    """The texts inside `text` that have the shape of a control token, or have it once switches are out."""
    texts = [text, *("".join(text[i] for i in kept) for kept in _without_switches(text))]
    return {match[1] for one in texts for match in _STARTS.finditer(one)}


def looks_like_control(text: str) -> bool:
    """Whether `text` holds anything that some model's tokenizer may read as a control token."""
    return _SHAPED.search(text) is not None


def parts(text: str, is_control: IsControl = anything) -> list[str]:
    """`text` cut inside every control token; joined, the parts are `text` again."""
    edges = [0, *_cuts(text, is_control), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges) if b > a]


def guarded(text: str, is_control: IsControl, guard: str, *, tags: bool = False) -> str:
    """`text` with `guard` inside everything that a template may make a control token of.

    `tags`: some control tokens are left to the template, which may take them out.
    """
    open_end = _OPEN_BEFORE_TAG if tags else _OPEN_AT_END
    cuts = {match.start() + 1 for match in open_end.finditer(text)} | set(_cuts(text, is_control))
    for kept in _without_switches(text):
        bare = "".join(text[i] for i in kept)
        cuts |= {kept[cut - 1] + 1 for cut in _cuts(bare, is_control)}
    edges = [0, *sorted(cuts), len(text)]
    return guard.join(text[a:b] for a, b in itertools.pairwise(edges))


def defused(text: str, is_control: IsControl = anything) -> str:
    """`text` for engines that take no token ids: an invisible word joiner inside every control token."""
    return JOINER.join(parts(text, is_control))


def joined(texts: Sequence[str], is_control: IsControl = anything) -> str:
    """Texts that were defused each by itself, as one: a control token that they make together is, too."""
    whole: list[str] = []
    tail = ""
    for text in texts:
        seam = tail + text[:_LONGEST]
        spanned = (
            match.start() < len(tail) < match.end(1) and is_control(match[1])
            for match in _STARTS.finditer(seam)
        )
        added = JOINER + text if any(spanned) else text
        whole.append(added)
        tail = (tail + added)[-_LONGEST:]
    return "".join(whole)


def _cuts(text: str, is_control: IsControl) -> list[int]:
    return [match.start() + 1 for match in _STARTS.finditer(text) if is_control(match[1])]


def _without_switches(text: str) -> list[list[int]]:
    """The places of what stays of a text when the switches are taken out; none if it has none."""
    if not any(switch in text for switch in _SWITCHES):
        return []
    left: list[list[int]] = []
    for order in (_SWITCHES, _SWITCHES[::-1]):
        kept = list(range(len(text)))
        for switch in order:
            bare = "".join(text[i] for i in kept)
            edges = [0, *(edge for match in re.finditer(switch, bare) for edge in match.span()), len(bare)]
            kept = [i for a, b in zip(edges[::2], edges[1::2], strict=True) for i in kept[a:b]]
        left.append(kept)
    return left
