r"""Finding the answer that a text states: `\boxed{...}`, "Answer: ..." and choice letters."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"(\\+(?:boxed|fbox))\s*\{|\\.|[{}]", re.DOTALL)
# What may stand between boxes that are one answer together.
_SEPARATED = re.compile(
    r"(?:[\s$*~]|\\[()\[\] !])*"
    r"(?:(?:[,;&]|\\[,;]|\\q?quad|\b(?:and|or)\b|\\(?:text|mathrm|mbox)\s*\{[\s,]*(?:and|or)?[\s,]*\})"
    r"(?:[\s$*~]|\\[()\[\] !])*)+"
)
# A box that only shows where the answer goes.
_PLACEHOLDER = re.compile(
    r"(?:[\s.?_\u2026]|\\[a-z]*dots|\\square|\\_)*|"
    r"\W*(?:text\w*\W+)?(?:(?:the|your|my|final|correct|numerical|insert|put|write)\W+)*answer"
    r"(?:\W+(?:goes|here))*\W*",
    re.IGNORECASE,
)
# "Answer: 12", "**Final answer:** 12.", "The answer is 12": to the end of the line.
_STATED = re.compile(
    r"(?:^|[\s*_(#>])(?:final\s+)?answer\s*(?:is\s*:?|[:=])\s*[*_]*\s*(?P<answer>[^\n]+)", re.IGNORECASE
)
_CHOICE = re.compile(r"^\(?([A-J])\)?(?:[).:\s]|$)")
_HOLE = "\ufffc"  # stands for a box that states nothing
_TRIMMED = f" \t*_`\"'{_HOLE}"


@dataclass(frozen=True, slots=True)
class Box:
    r"""A complete `\boxed{...}`: where it begins and ends in its text, and what it holds."""

    start: int
    end: int
    inside: str


def boxes(text: str) -> list[Box]:
    """The complete boxes of a text in their order; braces may nest, of nested boxes the inner one counts."""
    return _boxes(text)[0]


def boxed_answer(text: str) -> str | None:
    r"""What the last box holds; None if there is none, or only empty ones and placeholders (`\boxed{...}`).

    Boxes side by side are one answer, with commas between its parts.
    """
    stating = [box for box in boxes(text) if not _PLACEHOLDER.fullmatch(box.inside)]
    if not stating:
        return None
    parts = [stating[-1]]
    for box in reversed(stating[:-1]):
        if not _SEPARATED.fullmatch(text, box.end, parts[0].start):
            break
        parts.insert(0, box)
    return ", ".join(dict.fromkeys(part.inside for part in parts))


def stated_answer(text: str) -> str | None:
    """The boxed answer, else what the last "Answer:" or "the answer is" states. None if there is neither."""
    if boxed := boxed_answer(text):
        return boxed
    complete, unclosed = _boxes(text)
    rest, at = "", 0
    for start, end in sorted([(box.start, box.end) for box in complete] + unclosed):
        rest += text[at : max(at, start)] + _HOLE
        at = max(at, end)
    rest += text[at:]
    stated = (_tidy(match["answer"]) for match in reversed(list(_STATED.finditer(rest))))
    return next(filter(None, stated), None)


def _boxes(text: str) -> tuple[list[Box], list[tuple[int, int]]]:
    """The complete boxes; and where those begin and end that are never closed: with their line."""
    found: list[Box] = []
    opened: list[tuple[int, int] | None] = []  # of every open brace: where its box and its content begin
    for token in _TOKEN.finditer(text):
        if token[1]:
            opened.append((token.start(), token.end()))
        elif token[0] == "{":
            opened.append(None)
        elif token[0] == "}" and opened and (box := opened.pop()) is not None:
            start, inside = box
            if not found or found[-1].start < start:  # else it holds another box
                found.append(Box(start, token.end(), text[inside : token.start()].strip()))
    starts = [box[0] for box in opened if box is not None]
    line_ends = [text.find("\n", start) for start in starts]
    unclosed = [(start, end if end >= 0 else len(text)) for start, end in zip(starts, line_ends, strict=True)]
    return found, unclosed


def _tidy(answer: str) -> str:
    answer = answer.strip(_TRIMMED)
    if choice := _CHOICE.match(answer):
        return choice[1]
    if answer.startswith(("$", "\\(")) and answer.rstrip(".").endswith(("$", "\\)")):
        answer = answer.rstrip(".").removeprefix("\\(").removesuffix("\\)").strip("$")
    return answer.removesuffix(".").strip(_TRIMMED)
