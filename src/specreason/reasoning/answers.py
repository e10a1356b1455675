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
    r"(?:[\s.?_\u2026]|\\[a-z]*dots|\\_)*|"
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
class _Box:
    """From `start` up to `end`; what it holds, None if it is never closed."""

    start: int
    end: int
    content: str | None

    @property
    def states(self) -> bool:
        return self.content is not None and not _PLACEHOLDER.fullmatch(self.content)


def boxed_answer(text: str) -> str | None:
    r"""What the last complete `\boxed{...}` holds; braces and boxes may nest.

    Boxes side by side are one answer, with commas between its parts. A box that holds a placeholder, such as
    "..." or "answer", states nothing: "" if there are only such boxes, None if there is no complete one.
    """
    complete = [box for box in _boxes(text) if box.content is not None]
    stating = [box for box in complete if box.states]
    if not stating:
        return "" if complete else None
    parts = [stating[-1]]
    for box in reversed(stating[:-1]):
        if not _SEPARATED.fullmatch(text, box.end, parts[0].start):
            break
        parts.insert(0, box)
    return ", ".join(dict.fromkeys(part.content or "" for part in parts))


def stated_answer(text: str) -> str | None:
    """The boxed answer, else what the last "Answer:" or "the answer is" states. None if there is neither."""
    if boxed := boxed_answer(text):
        return boxed
    rest, at = "", 0
    for box in _boxes(text):
        rest += text[at : max(at, box.start)] + _HOLE
        at = max(at, box.end)
    rest += text[at:]
    stated = (_tidy(match["answer"]) for match in reversed(list(_STATED.finditer(rest))))
    return next(filter(None, stated), None)


def _boxes(text: str) -> list[_Box]:
    """The innermost boxes in their order. One that is never closed goes to the end of its line."""
    found: list[_Box] = []
    opened: list[tuple[int, int] | None] = []  # of every open brace: where its box and its content begin
    for token in _TOKEN.finditer(text):
        if token[1]:
            opened.append((token.start(), token.end()))
        elif token[0] == "{":
            opened.append(None)
        elif token[0] == "}" and opened and (box := opened.pop()) is not None:
            start, inside = box
            if not found or found[-1].start < start:  # else it holds another box
                found.append(_Box(start, token.end(), text[inside : token.start()].strip()))
    for start, _ in filter(None, opened):
        line_end = text.find("\n", start)
        found.append(_Box(start, len(text) if line_end < 0 else line_end, None))
    return sorted(found, key=lambda box: box.start)


def _tidy(answer: str) -> str:
    answer = answer.strip(_TRIMMED)
    if choice := _CHOICE.match(answer):
        return choice[1]
    if answer.startswith(("$", "\\(")) and answer.rstrip(".").endswith(("$", "\\)")):
        answer = answer.rstrip(".").removeprefix("\\(").removesuffix("\\)").strip("$")
    return answer.removesuffix(".").strip(_TRIMMED)
