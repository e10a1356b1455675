"""Whether an answer is right, and why: letters exactly, mathematics by math-verify, words as words.

`grade` may take long, or for ever, on hostile input: run it where it can be killed (`grader.py`).
"""

import importlib
import logging
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Any

from specreason.eval.notation import (
    decimal,
    exact,
    plain,
    rewritten,
    without_percent,
    without_text_commands,
    without_unit,
)
from specreason.eval.tasks import Kind

_INTEGER = re.compile(r"\s*[-+]?[0-9]{1,30}\s*")
_NUMBER = re.compile(r"[-+\d.,/\s()%^{}]+|.*\\(?:frac|sqrt|cdot|times|pi|%).*")
_SLACK = Decimal("1e-9")
_BASED = re.compile(r"(\w+)_\{?(\w+)\}?")
_RATIO = re.compile(r"\d{1,30}(?:\s*:\s*\d{1,30}){2,}")
_TIME = re.compile(r"(\d{1,2})(?::(\d{2}))?(?:([ap])\.?m\.?)?", re.IGNORECASE)
_FIGURE = re.compile(
    r"\\(?:angle|triangle|overline)(?![A-Za-z])\s*\{?([A-Z]+)\}?"
)  # goes by its letters, too
_ABBREVIATED = re.compile(r"(?<=[^\W\d_])\.")
_WORDS = re.compile(r"[^\W\d_]{3,}(?:[\s\-'\u2019][^\W\d_]+)*")
_PHRASE = re.compile(r"(?=.*(?<!\S)(?!(?:and|or)\b)[^\W\d_]{3,}(?!\S))[\w\s.,:;'\u2019-]+")
_FUNCTIONS = frozenset({"sin", "cos", "tan", "log", "exp", "sqrt", "infinity", "infty", "inf"})
_LETTER = re.compile(
    r"(?:(?:the\s+)?(?:(?:correct|right|best|final)\s+)*(?:option|choice|answer)\b\s*(?:is\b)?\s*:?\s*)?"
    r"[\[(]?\s*([A-J])\s*(?:[\])).:,]|(?<=\s)[-\u2013\u2014]|$)",
    re.IGNORECASE,
)
_ANOTHER_LETTER = re.compile(
    r"[\s,;/&]*(?:(?:and|or)\b\s*)?[\[(]?[A-J](?:[\])]|\s*(?:[,;/&]|(?:and|or)\b|$))"
)


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
    if _spelled(stated) == _spelled(wanted):
        return Grade(True, "the same but for spelling")
    for reading in (_times, _bases, _ratios, _brackets):
        if (same := reading(stated, wanted)) is not None:
            return Grade(same, f"{stated:.80} is {'' if same else 'not '}{wanted:.80}")
    wanted = without_unit(wanted)
    if _is_words(wanted):
        # math-verify reads a word as a product of letters, so that anagrams would be equal.
        return Grade(False, f"{stated!r:.80} is not {wanted!r:.80}")
    if _NUMBER.fullmatch(wanted):
        stated = without_unit(stated)
    stated, wanted = rewritten(stated), rewritten(wanted)
    if (first := decimal(stated)) is not None and (second := decimal(wanted)) is not None:
        whole = first == first.to_integral_value() and second == second.to_integral_value()
        same = first == second if whole else abs(first - second) <= _SLACK * abs(second)
        return Grade(same, f"equal: {first}" if same else f"{first} is not {second}")
    return _grade_math(exact(stated), exact(wanted))


def _grade_choice(answer: str, expected: str) -> Grade:
    text = without_text_commands(plain(answer)).strip("*_ ")
    match = _LETTER.match(text)
    if match is None or _ANOTHER_LETTER.match(text, match.end()):
        return Grade(False, f"{answer!r:.80} names no letter, or several")
    letter = match[1].upper()
    return Grade(letter == expected, f"chose {letter}, right is {expected}")


# What math-verify takes for equal and is not, or the other way round; None where a rule says nothing.


def _times(stated: str, wanted: str) -> bool | None:
    """Times of the day: 6:00 p.m. is 6 PM; where one says neither a.m. nor p.m. the hour counts."""
    given, key = (_TIME.fullmatch(re.sub(r"\s+", "", without_text_commands(t))) for t in (stated, wanted))
    if (
        not given
        or not key
        or not all(time[2] or time[3] for time in (given, key))
        or not (given[3] or key[3])
    ):
        return None
    same = (int(given[1]), given[2] or "00") == (int(key[1]), key[2] or "00")
    return same and (not given[3] or not key[3] or given[3].lower() == key[3].lower())


def _bases(stated: str, wanted: str) -> bool | None:
    """Numbers that both name their base."""
    given, key = _BASED.fullmatch(stated), _BASED.fullmatch(wanted)
    return given.groups() == key.groups() if given and key else None


def _ratios(stated: str, wanted: str) -> bool | None:
    """Ratios of three terms or more, which math-verify divides."""
    if not _RATIO.fullmatch(stated) or not _RATIO.fullmatch(wanted):
        return None
    given, key = ([int(term) for term in text.split(":")] for text in (stated, wanted))
    if len(given) != len(key):
        return False
    return all(given[0] * b == key[0] * a for a, b in zip(given, key, strict=True))


def _brackets(stated: str, wanted: str) -> bool | None:
    """A point or an interval has brackets; without them its parts are a list in any order."""
    listed = "," in stated and not re.search(r"[()\[\]{}<>=]", stated)
    return False if listed and re.fullmatch(r"[(\[][^()\[\]]*,[^()\[\]]*[)\]]", wanted) else None


def _grade_math(stated: str, wanted: str) -> Grade:
    try:
        gold, given = _parsed(wanted), _parsed(stated)
    except Exception as error:  # sympy's parsers raise whatever they happen upon
        return Grade(False, f"not readable as mathematics: {type(error).__name__}")
    if not gold:
        return Grade(False, f"{stated!r:.80} is not {wanted!r:.80}")
    if not given:
        return Grade(False, f"{stated!r:.80} is not readable as mathematics")
    try:
        same: bool = library().verify(
            gold, given, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True
        )
    except Exception as error:
        return Grade(False, f"could not be compared: {type(error).__name__}")
    same = same or _same_set(gold[0], given[0])
    if not same and (number := without_percent(wanted)) is not None:
        # math-verify lets 50% stand for 50 as well as for 0.5; so do answer keys, in both directions.
        return _grade_math(stated, number)
    return Grade(same, f"equal: {_shown(given)}" if same else f"{_shown(given)} is not {_shown(gold)}")


@cache
def library() -> Any:
    """math-verify; imported late, since it takes a second and only the grader's process needs it."""
    # Without this every call warns that its own time limit is off; ours is the pool's.
    for name in ("math_verify", "latex2sympy2_extended"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return importlib.import_module("math_verify")


def _parsed(text: str) -> list[Any]:
    # LaTeX only: math-verify's other reader takes the number with which a text begins for the whole of it.
    # And no units, of which it takes many a letter for one: 3s would be 3t.
    latex = library().LatexExtractionConfig()
    latex = replace(latex, normalization_config=replace(latex.normalization_config, units=False))
    return library().parse(
        f"\\[{text}\\]", extraction_config=[latex], parsing_timeout=None, raise_on_error=True
    )


def _same_set(gold: Any, given: Any) -> bool:
    """Whether one is a set and the other says by inequalities what is in it: "x < -1 or x > 1"."""
    sympy: Any = importlib.import_module("sympy")
    said = given if isinstance(gold, sympy.Set) else gold
    if not isinstance(said, sympy.FiniteSet) or not said.args or len(said.free_symbols) != 1:
        return False
    if not all(isinstance(part, (sympy.And, sympy.core.relational.Relational)) for part in said):
        return False
    try:
        return bool(sympy.Or(*said).as_set() == (gold if said is given else given))
    except Exception:  # sympy cannot solve it
        return False


def _shown(parsed: list[Any]) -> str:
    return f"{parsed[0]!s:.80}"


def _spelled(text: str) -> str:
    """A text as it compares: without case, text commands, white space and the points of abbreviations."""
    bare = re.sub(r"\\[ ,;]", " ", without_text_commands(_FIGURE.sub(r"\1", text)))
    # A space between digits is none of the spelling.
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", _ABBREVIATED.sub("", bare)).casefold()


def _is_words(text: str) -> bool:
    bare = without_text_commands(text).strip()
    if bare.lower() in _FUNCTIONS:
        return False
    return bool(_WORDS.fullmatch(bare) or _PHRASE.fullmatch(bare))
