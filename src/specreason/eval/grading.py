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

from specreason.eval.tasks import Kind

_INTEGER = re.compile(r"\s*[-+]?[0-9]{1,30}\s*")
# What no notation of mathematics means: how it is set in type, and signs that have a command of their own.
_DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]|\\?\$")
_SIGNS = str.maketrans(
    {
        "\u2212": "-", "\u2013": "-", "\u00b1": r"\pm ", "\u00d7": r"\times ", "\u00b7": r"\cdot ",
        "\u22c5": r"\cdot ", "\u00f7": r"\div ", "\u221e": r"\infty ", "\u03c0": r"\pi ",
        "\u2264": r"\le ", "\u2265": r"\ge ", "\u222a": r"\cup ", "\u2229": r"\cap ", "\u2205": r"\emptyset ",
        "\u00b0": r"^\circ ", "\u00b2": "^2", "\u00b3": "^3", "\u00bc": r"\frac{1}{4}",
        "\u00bd": r"\frac{1}{2}",
        "\u00be": r"\frac{3}{4}", "\u2153": r"\frac{1}{3}", "\u2154": r"\frac{2}{3}", "~": " ",
        "\u20ac": "", "\u00a3": "", "\u00a5": "",
    }
)  # fmt: skip
_ROOT = re.compile(r"\u221a\s*(?:\(([^()]*)\)|(\d+|\w))")
_ROW_GAP = re.compile(r"(?<=\\\\)\s*\[\s*-?[\d.]+\s*[a-z]{2}\s*\]")
_GROUPED = re.compile(r"(?<=\d)(?:\\[, ]|\s)(?=\d{3}(?!\d))")
_MIXED = re.compile(r"(-?)\s*(\d+)\s+(?:and\s+)?(\d+)\s*/\s*(\d+)")
_REPEATING = re.compile(r"(\d{0,30})\.(\d{0,30})\\overline\s*\{?(\d{1,30})\}?")
_RATIO = re.compile(r"[^:]+(?::[^:]+){2,}")
_DECIMAL = re.compile(r"[-+]?(?:\d{1,60}\.?\d{0,60}|\.\d{1,60})(?:[eE][-+]?\d{1,3})?")
_SCIENTIFIC = re.compile(
    r"([-+]?)\s*(?:(\d{1,60}\.?\d{0,60})\s*(?:\\times|\\cdot|\*)\s*)?10\s*\^\s*(\{\s*)?([-+]?\d{1,3})\s*(?(3)\})"
)
_BASED = re.compile(r"(\w+)_\{?(\w+)\}?")
_SLACK = Decimal("1e-9")
_POWER = r"(?:\s*\^\s*\{?\s*-?[123]\s*\}?)?"
# A word of three letters or more, or a unit's symbol; perhaps to a power, perhaps per another.
_UNIT_WORD = rf"(?:[A-Za-z]{{3,}}|[kMGmcn\u00b5]?(?:m|g|s|h|l|L|N|J|W|V|A|K|C|F|Hz|Pa|eV)|ft|T){_POWER}"
_UNIT_TEXT = rf"(?:\s|\\[ ,;])*\\(?:text|textrm|mathrm|mbox)\s*\{{[^{{}}]*\}}{_POWER}"
# What is a unit also right behind a number.
_UNIT_CLOSE = rf"(?:[kcm]m|[km]g|m[lL]|k?Hz|k?Pa|eV|k[JNW]|mph|ft|min|sec|st|nd|rd|th){_POWER}"
_UNIT = re.compile(
    rf"(?:(?<=[\d)}}])|(?<=\\pi))(?:\s*(?:\^\s*\{{?\s*\\circ\s*\}}?|\\degree\b)(?:\s*[CF]\b)?)?(?:{_UNIT_TEXT})*"
    rf"(?:\s+{_UNIT_WORD}(?:\s*(?:/|per\s)\s*{_UNIT_WORD})?(?:\s+[A-Za-z]+)*|(?<=\d){_UNIT_CLOSE})?$"
)
_NUMBER = re.compile(r"[-+\d.,/\s()%^{}]+|.*\\(?:frac|sqrt|cdot|times|pi|%).*")
_PERCENT = re.compile(r"\\?%|\bper\s?cent\b", re.IGNORECASE)

_TEXT = re.compile(r"\\(?:text\w*|math(?:rm|bf|it|sf|normal)|operatorname|mbox)\s*\{([^{}]*)\}")
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
    wanted = _UNIT.sub("", wanted)
    if _is_words(wanted):
        # math-verify reads a word as a product of letters, so that anagrams would be equal.
        return Grade(False, f"{stated!r:.80} is not {wanted!r:.80}")
    if _NUMBER.fullmatch(wanted):
        stated = _UNIT.sub("", stated)
    stated, wanted = _read(stated), _read(wanted)
    if (first := _decimal(stated)) is not None and (second := _decimal(wanted)) is not None:
        whole = first == first.to_integral_value() and second == second.to_integral_value()
        same = first == second if whole else abs(first - second) <= _SLACK * abs(second)
        return Grade(same, f"equal: {first}" if same else f"{first} is not {second}")
    if (of := _BASED.fullmatch(stated)) and (to := _BASED.fullmatch(wanted)):
        # math-verify passes over the base of a number.
        same = of.groups() == to.groups()
        return Grade(same, f"{stated!r:.80} is {'' if same else 'not '}{wanted!r:.80}")
    return _grade_math(_exact(stated), _exact(wanted))


def plain(answer: str) -> str:
    """An answer without delimiters, its signs as LaTeX commands; all other LaTeX is left to math-verify."""
    text = _ROOT.sub(r"\\sqrt{\1\2}", _DELIMITERS.sub("", answer.translate(_SIGNS)))
    text = _GROUPED.sub("", _ROW_GAP.sub("", text)).replace("\\varnothing", "\\emptyset")
    text = " ".join(text.split()).strip("*` ").rstrip(". *`")
    if match := _TEXT.fullmatch(text):
        text = match[1]
    return text.removeprefix("\\approx").removeprefix("=").strip()


def _read(text: str) -> str:
    """Notations that math-verify reads as something else, in one that it knows."""
    if match := _MIXED.fullmatch(text):
        sign, whole, top, bottom = match.groups()
        return f"{sign}({whole}+\\frac{{{top}}}{{{bottom}}})"
    if _RATIO.fullmatch(text):
        return f"({text.replace(':', ',')})"
    if text.count("\\pm") == 1:
        return text.replace("\\pm", "+") + ", " + text.replace("\\pm", "-")
    return _REPEATING.sub(_fraction, text)


def _fraction(repeating: re.Match[str]) -> str:
    whole, once, again = repeating.groups()
    top = int(whole + once + again) - int(whole + once or "0")
    return f"\\frac{{{top}}}{{{'9' * len(again)}{'0' * len(once)}}}"


def _decimal(text: str) -> Decimal | None:
    """The number that `text` is, as a decimal or in scientific notation; None if it is anything else."""
    if match := _SCIENTIFIC.fullmatch(text):
        text = f"{match[1]}{match[2] or 1}e{match[4]}"
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


def _exact(text: str) -> str:
    """Scientific notation as a fraction: math-verify rounds decimals to six places, and small ones to 0."""
    number = _decimal(text)
    if number is None or not re.search(r"[eE^]", text):
        return text
    top, bottom = number.as_integer_ratio()
    return f"\\frac{{{top}}}{{{bottom}}}"


def _grade_choice(answer: str, expected: str) -> Grade:
    text = _TEXT.sub(r"\1", plain(answer)).strip("*_ ")
    match = _LETTER.match(text)
    if match is None or _ANOTHER_LETTER.match(text, match.end()):
        return Grade(False, f"{answer!r:.80} names no letter, or several")
    letter = match[1].upper()
    return Grade(letter == expected, f"chose {letter}, right is {expected}")


def _grade_math(stated: str, wanted: str) -> Grade:
    try:
        gold, told = _parsed(wanted), _parsed(stated)
    except Exception as error:  # sympy's parsers raise whatever they happen upon
        return Grade(False, f"not readable as mathematics: {type(error).__name__}")
    if not gold:
        return Grade(False, f"{stated!r:.80} is not {wanted!r:.80}")
    if not told:
        return Grade(False, f"{stated!r:.80} is not readable as mathematics")
    try:
        same: bool = library().verify(
            gold, told, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True
        )
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
    # LaTeX only: math-verify's other reader takes the number with which a text begins for the whole of it.
    # And no units, of which it takes many a letter for one: 3s would be 3t.
    latex = library().LatexExtractionConfig()
    latex = replace(latex, normalization_config=replace(latex.normalization_config, units=False))
    return library().parse(
        f"\\[{text}\\]", extraction_config=[latex], parsing_timeout=None, raise_on_error=True
    )


def _shown(parsed: list[Any]) -> str:
    return f"{parsed[0]!s:.80}"


def _spelled(text: str) -> str:
    """A text as it compares: without case, text commands, white space and the points of abbreviations."""
    bare = _ABBREVIATED.sub("", re.sub(r"\\[ ,;]", " ", _TEXT.sub(r" \1 ", text)))
    # A space between digits is none of the spelling.
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", bare).casefold()


def _is_words(text: str) -> bool:
    bare = _TEXT.sub(r" \1 ", text).strip()
    if bare.lower() in _FUNCTIONS:
        return False
    return bool(_WORDS.fullmatch(bare) or _PHRASE.fullmatch(bare))
