"""Whether an answer is right, and why: letters exactly, mathematics by math-verify, words as words.

`grade` may take long, or for ever, on hostile input: run it where it can be killed (`grader.py`).
"""

import importlib
import logging
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from specreason.eval.tasks import Kind

_INTEGER = re.compile(r"\s*[-+]?[0-9]{1,30}\s*")
_LETTER = re.compile(r"^(?:(?:option|choice|answer)\b)?\s*[\[(]?\s*([A-J])\s*(?:[\])).:,]|$)", re.IGNORECASE)
_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|operatorname|mbox)\s*\{([^{}]*)\}")
_SPACING = re.compile(r"\\[,;:! ]|\\quad|\\qquad|~|\u00a0|\u202f")
_GROUPED = re.compile(r"(?<=\d)(?:\{,\}|\\,|\s)(?=\d{3}(?!\d))")
_MIXED = re.compile(r"^(-?)\s*(\d+)\s+(?:and\s+)?(\d+)\s*/\s*(\d+)$")
_SCIENTIFIC = re.compile(r"(?<![A-Za-z\d])(-?\d+(?:\.\d+)?)[eE]([+-]?\d+)(?![A-Za-z\d])")
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[\s\-'\u2019][^\W\d_]+)*", re.UNICODE)
_FUNCTIONS = frozenset(
    {"pi", "sin", "cos", "tan", "log", "ln", "exp", "sqrt", "infinity", "infty", "inf", "oo"}
)
_DELIMITERS = re.compile(r"^\s*(?:\$\$?|\\\(|\\\[)(.*?)(?:\$\$?|\\\)|\\\])\s*$", re.DOTALL)
# A word of three letters or more, or a short unit; perhaps squared, perhaps per another.
_UNIT_WORD = r"(?:[A-Za-z]{3,}|km|cm|mm|kg|mg|ml|m|s|h|g|l)(?:\s*\^\s*\{?[23]\}?)?"
_UNIT = re.compile(rf"(?<=[\d)}}])\s+{_UNIT_WORD}(?:\s*(?:/|per\s)\s*{_UNIT_WORD})?(?:\s+[A-Za-z]+)*$")
_NUMBER = re.compile(r"[-+\d.,/\s()%^{}]+|.*\\(?:frac|sqrt|cdot|%).*")
_PERCENT = re.compile(r"\\?%|\bper\s?cent\b", re.IGNORECASE)


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
    stated, wanted = plain(answer or ""), plain(expected)
    if _folded(stated) == _folded(wanted):
        return Grade(True, "the same but for spelling")
    if _is_words(wanted):
        # math-verify reads a word as a product of letters, so that anagrams would be equal.
        same = _folded(stated) == _folded(wanted)
        return Grade(same, "the same word" if same else f"{stated!r:.80} is not {wanted!r:.80}")
    wanted = _UNIT.sub("", wanted)
    if _NUMBER.fullmatch(wanted):
        stated = _UNIT.sub("", stated)
    return _grade_math(stated, wanted)


def plain(answer: str) -> str:
    """An answer without what typesetting adds: delimiters, text commands, spacing, grouped thousands."""
    text = answer.strip()
    if match := _DELIMITERS.match(text):
        text = match[1].strip()
    text = _TEXT.sub(r" \1 ", text)
    text = text.replace("\\left", "").replace("\\right", "").replace("\u2212", "-").replace("\u2013", "-")
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("\\$", "").replace("$", "")
    text = _GROUPED.sub("", text)
    text = _SPACING.sub(" ", text)
    text = _SCIENTIFIC.sub(r"\1 \\cdot 10^{\2}", text)
    text = " ".join(text.split()).removesuffix(".").strip()
    if match := _MIXED.match(text):
        sign, whole, top, bottom = match.groups()
        text = f"{sign}({whole}+\\frac{{{top}}}{{{bottom}}})"
    return text


def _grade_choice(answer: str, expected: str) -> Grade:
    match = _LETTER.match(plain(answer))
    if match is None:
        return Grade(False, f"{answer!r:.80} names no letter")
    letter = match[1].upper()
    return Grade(letter == expected, f"chose {letter}, right is {expected}")


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
    if not same and _PERCENT.search(wanted):
        # math-verify lets 50% stand for 50 as well as for 0.5; so do answer keys, in both directions.
        return _grade_math(stated, _PERCENT.sub("", wanted))
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


def _shown(parsed: list[Any]) -> str:
    return f"{parsed[0]!s:.80}"


def _folded(text: str) -> str:
    # A space between digits is none of the spelling.
    return re.sub(r"[\\{}]+|(?<!\d)\s+|\s+(?!\d)", "", text).casefold()


def _is_words(text: str) -> bool:
    return bool(_WORDS.fullmatch(text)) and text.lower() not in _FUNCTIONS
