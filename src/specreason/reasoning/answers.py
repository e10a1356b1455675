r"""Finding the answer that a text states: `\boxed{...}`, "Answer: ..." and choice letters."""

import re
from dataclasses import dataclass

_BOXED = re.compile(r"\\boxed\s*(?=\{)|\\fbox\s*(?=\{)")
# "Answer: 12", "**Final answer:** 12.", "The answer is 12": to the end of the line.
_STATED = re.compile(
    r"(?:^|[\s*_(#>])(?:final\s+)?answer\s*(?:is\s*:?|[:=])\s*[*_]*\s*(?P<answer>[^\n]+)", re.IGNORECASE
)
_CHOICE = re.compile(r"^\(?([A-J])\)?(?:[).:\s]|$)")
_TRIMMED = " \t*_`\"'"
# What may stand between the boxes of one answer: "\boxed{1} and \boxed{-2}".
_BETWEEN = re.compile(
    r"(?:\s|[,;&]|\$|\\[(),;:! ]|\\quad|\\qquad|\\(?:text|mathrm)\{\s*(?:and|or)\s*\}|\b(?:and|or)\b)*"
)
_JOINT = re.compile(r"[,;&]|\b(?:and|or)\b|\\q?quad")
_PLACEHOLDER = re.compile(
    r"(?:(?:the|your|my|final|correct)\s+)*(?:answer|result|solution|value|option|letter|choice)(?:\s+here)?"
    r"|(?:[.\u2026_?\s]|\\[lc]?dots|\\square|\\_|\\cdot)*",
    re.IGNORECASE,
)
_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Box:
    r"""A complete `\boxed{...}`: where it begins and ends in its text, and what it holds."""

    start: int
    end: int
    inside: str


def boxes(text: str) -> list[Box]:
    """The complete boxes of a text, in their order, the empty ones too; braces may nest."""
    found: list[Box] = []
    for match in _BOXED.finditer(text):
        if found and match.start() < found[-1].end:
            continue  # inside of another one
        inside = _braced(text, match.end())
        if inside is not None:
            found.append(Box(match.start(), match.end() + len(inside) + 2, inside.strip()))
    return found


def boxed_answer(text: str) -> str | None:
    r"""What the last box holds; None if there is none, or only empty ones and placeholders (`\boxed{...}`).

    Boxes side by side, with nothing but commas, "and" or "or" between them, are the parts of one answer.
    """
    real = [box for box in boxes(text) if not _is_placeholder(box.inside)]
    if not real:
        return None
    parts = [real[-1].inside]
    for before, after in zip(reversed(real[:-1]), reversed(real[1:]), strict=True):
        between = text[before.end : after.start]
        if not _BETWEEN.fullmatch(between) or not _JOINT.search(between):
            break
        parts.append(before.inside)
    return ", ".join(reversed(parts))


def stated_answer(text: str) -> str | None:
    """The boxed answer, else what the last "Answer:" or "the answer is" states. None if there is neither."""
    if boxed := boxed_answer(text):
        return boxed
    stated = [match["answer"] for match in _STATED.finditer(text)]
    return next((_tidy(answer) or None for answer in reversed(stated) if not _only_a_box(answer)), None)


def _only_a_box(answer: str) -> bool:
    """Whether what is stated is a box that was never closed, or one that holds no answer."""
    opened = _BOXED.search(answer)
    return opened is not None and (
        _braced(answer, opened.end()) is None or not answer[: opened.start()].strip(" $([\\")
    )


def _is_placeholder(inside: str) -> bool:
    return _PLACEHOLDER.fullmatch(_COMMAND.sub(r"\1", inside).strip("<>[]() ")) is not None


def _braced(text: str, opening: int) -> str | None:
    """The text between the brace at `opening` and its partner, None if it is never closed."""
    depth = 0
    escaped = False
    for at in range(opening, len(text)):
        char = text[at]
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return text[opening + 1 : at]
    return None


def _tidy(answer: str) -> str:
    answer = answer.strip(_TRIMMED)
    if choice := _CHOICE.match(answer):
        return choice[1]
    if answer.startswith(("$", "\\(")) and answer.rstrip(".").endswith(("$", "\\)")):
        answer = answer.rstrip(".").removeprefix("\\(").removesuffix("\\)").strip("$")
    return answer.removesuffix(".").strip(_TRIMMED)
