"""Whether an answer is right, and why: letters exactly, mathematics by math-verify, words as words.

`grade` may take long, or for ever, on hostile input: run it where it can be killed (`grader.py`).
"""

import importlib
import logging
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from specreason.eval.notation import tidied, without_percent, without_unit
from specreason.eval.tasks import Kind

_INTEGER = re.compile(r"\s*[-+]?[0-9]{1,30}\s*")
_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|operatorname|mbox)\s*\{([^{}]*)\}")
_SPACING = re.compile(r"\\[,;:! ]|\\quad|\\qquad|~")
_FIGURE = re.compile(r"\\(?:angle|triangle|overline)(?![A-Za-z])")  # a segment goes by its letters, too
_CHOICE_LEAD = re.compile(
    r"^\W*(?:the\s+)?(?:(?:right|correct|best|final)\s+)?(?:(?:option|choice|answer)\b)?\s*(?:is\b)?\W*", re.I
)
_LETTER = re.compile(r"([A-J])(?=\s*(?:[\])).:,;*]|\s[-\u2013\u2014]\s|$))(.*)", re.IGNORECASE | re.DOTALL)
_ANOTHER_LETTER = re.compile(r"^\W*(?:and|or)?\W*[A-J]\b(?![\w'])")
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[\s\-'\u2019][^\W\d_]+)*", re.UNICODE)
_FUNCTIONS = frozenset(
    {"pi", "sin", "cos", "tan", "log", "ln", "exp", "sqrt", "infinity", "infty", "inf", "oo"}
)
_NUMBER = re.compile(r"[-+\d.,/\s()%^{}]+|.*\\(?:frac|sqrt|cdot|times|%).*")
_BASED = re.compile(r"([0-9A-Za-z]+)_\{?(\d{1,2})\}?")
_RATIO = re.compile(r"\d+(?:\s*:\s*\d+){2,}")
_TIME = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*(?:([ap])\.?\s*m\b\.?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Grade:
    """`reason` says how the verdict came about, for the per-problem table."""

    right: bool
    reason: str


def at_once(kind: Kind, answer: str | None, expected: str) -> Grade | None:
    """The verdict where no mathematics is needed, else None."""
    if answer is None or not answer.strip():
        return Grade(False, "no answer was stated")
    if kind == "choice":
        return _grade_choice(answer, expected)
    if answer.strip() == expected.strip():
        return Grade(True, "the same text")
    if _INTEGER.fullmatch(answer) and _INTEGER.fullmatch(expected):
        same = int(answer) == int(expected)
        return Grade(same, f"equal: {int(answer)}" if same else f"{int(answer)} is not {int(expected)}")
    return None


def grade(kind: Kind, answer: str | None, expected: str) -> Grade:
    """Grade one answer."""
    if (verdict := at_once(kind, answer, expected)) is not None:
        return verdict
    stated, wanted = tidied(answer or ""), tidied(expected)
    if _folded(stated) == _folded(wanted):
        return Grade(True, "the same but for spelling")
    if _is_words(_TEXT.sub(r"\1", wanted).strip()):
        # math-verify reads a word as a product of letters, so that anagrams would be equal.
        return Grade(False, f"{stated!r:.80} is not {wanted!r:.80}")
    for reading in (_times, _based, _ratios, _brackets):
        if (same := reading(stated, wanted)) is not None:
            return Grade(same, f"{stated:.80} is {'' if same else 'not '}{wanted:.80}")
    wanted = without_unit(wanted)
    if _NUMBER.fullmatch(wanted):
        stated = without_unit(stated)
    return _grade_math(stated, wanted)


def _grade_choice(answer: str, expected: str) -> Grade:
    told = _TEXT.sub(r"\1", answer).replace("$", "").strip()
    match = _LETTER.match(_CHOICE_LEAD.sub("", told))
    if match is None:
        return Grade(False, f"{answer!r:.80} names no letter")
    if _ANOTHER_LETTER.match(match[2]):
        return Grade(False, f"{answer!r:.80} names several letters")
    letter = match[1].upper()
    return Grade(letter == expected, f"chose {letter}, right is {expected}")


# What math-verify takes for equal and is not, or the other way round; None where a rule does not apply.


def _times(stated: str, wanted: str) -> bool | None:
    """Times of the day: 6:00 p.m. is 6 PM; where one says neither a.m. nor p.m. the hour counts."""
    first, second = _TIME.fullmatch(_unspaced(stated)), _TIME.fullmatch(_unspaced(wanted))
    if not first or not second or not all(match[2] or match[3] for match in (first, second)):
        return None
    same_hour = (int(first[1]), first[2] or "00") == (int(second[1]), second[2] or "00")
    return same_hour and (not first[3] or not second[3] or first[3].lower() == second[3].lower())


def _based(stated: str, wanted: str) -> bool | None:
    """Numbers that both name their base."""
    values: list[int] = []
    for text in (stated, wanted):
        match = _BASED.fullmatch(_unspaced(text))
        if match is None or not 2 <= int(match[2]) <= 36:
            return None
        try:
            values.append(int(match[1], int(match[2])))
        except ValueError:  # a digit that the base does not have
            values.append(-1 - len(values))
    return values[0] == values[1]


def _ratios(stated: str, wanted: str) -> bool | None:
    """Ratios of three terms or more, which math-verify divides."""
    if not _RATIO.fullmatch(stated) or not _RATIO.fullmatch(wanted):
        return None
    first, second = ([int(term) for term in text.split(":")] for text in (stated, wanted))
    return len(first) == len(second) and all(
        a * d == b * c for a, b, c, d in zip(first, first[1:], second, second[1:], strict=False)
    )


def _brackets(stated: str, wanted: str) -> bool | None:
    """A point or interval has brackets; without them its parts are a list in any order."""
    pairs = [(text[:1] in "([" and text[-1:] in ")]" and "," in text) for text in (stated, wanted)]
    listed = "," in stated and not any(bracket in stated for bracket in "()[]{}<>=")
    return False if pairs == [False, True] and listed else None


def _grade_math(stated: str, wanted: str) -> Grade:
    library()
    try:
        gold, told = _parsed(wanted), _parsed(stated)
    except Exception as error:  # sympy's parsers raise whatever they happen upon
        return Grade(False, f"not readable as mathematics: {type(error).__name__}")
    if not gold:
        return Grade(False, f"{stated!r:.80} is not {wanted!r:.80}")
    if not told:
        return Grade(False, f"{stated!r:.80} is not readable as mathematics")
    try:
        same: bool = library().verify(gold, told, timeout_seconds=None, raise_on_error=True)
    except Exception as error:
        return Grade(False, f"could not be compared: {type(error).__name__}")
    if not same:
        same = _same_values(gold[0], told[0])
    if not same and (number := without_percent(wanted)) is not None:
        # math-verify lets 50% stand for 50 as well as for 0.5; so do answer keys, in both directions.
        return _grade_math(stated, number)
    return Grade(same, f"equal: {_shown(told)}" if same else f"{_shown(told)} is not {_shown(gold)}")


@cache
def library() -> Any:
    """math-verify; imported late, since it takes a second and only the grader's process needs it."""
    # Without this every call warns that its own time limit is off; ours is the pool's.
    for name in ("math_verify", "latex2sympy2_extended"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return importlib.import_module("math_verify")


def _parsed(text: str) -> list[Any]:
    return library().parse(f"${text}$", parsing_timeout=None, raise_on_error=True)


def _same_values(gold: Any, told: Any) -> bool:
    """What math-verify keeps apart: powers of ten of decimals; an inequality and the set it describes."""
    sympy: Any = importlib.import_module("sympy")
    first, second = (_as_set(sympy, value) for value in (gold, told))
    if isinstance(first, sympy.Set) != isinstance(second, sympy.Set):
        return False
    if isinstance(first, sympy.Set):
        return bool(first == second)
    if not all(isinstance(value, sympy.Expr) and value.is_number for value in (first, second)):
        return False
    exact = [
        value.xreplace({number: sympy.Rational(str(number)) for number in value.atoms(sympy.Float)})
        for value in (first, second)
    ]
    return bool(sympy.simplify(exact[0] - exact[1]) == 0)


def _as_set(sympy: Any, value: Any) -> Any:
    relations = (sympy.And, sympy.Or, sympy.core.relational.Relational)
    if isinstance(value, sympy.FiniteSet) and all(isinstance(part, relations) for part in value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        value = sympy.Or(*value)  # "x < -1 or x > 1"
    if isinstance(value, relations) and len(value.free_symbols) == 1:  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportAttributeAccessIssue]
        try:
            return value.as_set()  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
        except Exception:  # sympy cannot solve it
            return value  # pyright: ignore[reportUnknownVariableType]
    return value


def _unspaced(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _shown(parsed: list[Any]) -> str:
    return f"{parsed[0]!s:.80}"


def _folded(text: str) -> str:
    # A space between digits is none of the spelling.
    bare = _FIGURE.sub("", _SPACING.sub(" ", _TEXT.sub(r" \1 ", text)))
    return re.sub(r"[\\{}]+|(?<!\d)\s+|\s+(?!\d)", "", bare).casefold()


def _is_words(text: str) -> bool:
    return bool(_WORDS.fullmatch(text)) and text.lower() not in _FUNCTIONS
