r"""Finding the answer that a text states: `\boxed{...}`, "Answer: ..." and choice letters."""

import re

_BOXED = re.compile(r"\\boxed\s*(?=\{)|\\fbox\s*(?=\{)")
# "Answer: 12", "**Final answer:** 12.", "The answer is 12": to the end of the line.
_STATED = re.compile(
    r"(?:^|[\s*_(#>])(?:final\s+)?answer\s*(?:is\s*:?|[:=])\s*[*_]*\s*(?P<answer>[^\n]+)", re.IGNORECASE
)
_CHOICE = re.compile(r"^\(?([A-J])\)?(?:[).:\s]|$)")
_TRIMMED = " \t*_`\"'"


def boxed_answer(text: str) -> str | None:
    r"""What the last complete `\boxed{...}` holds; braces may nest. None if there is none."""
    for match in reversed(list(_BOXED.finditer(text))):
        inside = _braced(text, match.end())
        if inside is not None:
            return inside.strip()
    return None


def stated_answer(text: str) -> str | None:
    """The boxed answer, else what the last "Answer:" or "the answer is" states. None if there is neither."""
    boxed = boxed_answer(text)
    if boxed:
        return boxed
    stated = [match["answer"] for match in _STATED.finditer(text)]
    return _tidy(stated[-1]) or None if stated else None


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
