"""One notation for what answers write in many: what math-verify does not read, or reads as something else.

math-verify is the judge, and it reads LaTeX well; an answer is touched only where it is known to misread it.
"""

import re
import unicodedata
from decimal import Decimal

# What no notation of mathematics means: how it is set in type, and signs that have a command of their own.
_DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]|\\?\$")
_SIGNS = str.maketrans(
    {
        "\u2212": "-", "\u2013": "-", "\u00b1": r"\pm ", "\u00d7": r"\times ", "\u00b7": r"\cdot ",
        "\u22c5": r"\cdot ", "\u00f7": r"\div ", "\u221e": r"\infty ", "\u03c0": r"\pi ",
        "\u2264": r"\le ", "\u2265": r"\ge ", "\u2260": r"\ne ", "\u2248": r"\approx ",
        "\u2208": r"\in ", "\u222a": r"\cup ", "\u2229": r"\cap ", "\u2205": r"\emptyset ",
        "\u03b8": r"\theta ", "\u00b0": r"^\circ ", "~": " ",
        "\u20ac": "", "\u00a3": "", "\u00a5": "", "\u20b9": "",
    }
)  # fmt: skip
_ROOT = re.compile(r"\u221a\s*(?:\(([^()]*)\)|\{([^{}]*)\}|(\d+|\w))")
_RAISED = re.compile(r"[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b]+")
_VULGAR = re.compile(r"[\u00bc-\u00be\u2150-\u215e]")
_ROW_GAP = re.compile(r"(?<=\\\\)\s*\[\s*-?[\d.]+\s*[a-z]{2}\s*\]")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:\\[, ]|\s)\d{3})+(?!\d)")
_MIXED = re.compile(r"(-?)\s*(\d+)\s+(?:and\s+)?(?:(\d+)\s*/\s*(\d+)|\\frac\{(\d+)\}\{(\d+)\})")
_REPEATING = re.compile(r"(\d{0,30})\.(\d{0,30})\\(?:overline|bar)\s*\{?(\d{1,30})\}?")
_DECIMAL = re.compile(r"[-+]?(?:\d{1,60}\.?\d{0,60}|\.\d{1,60})(?:[eE][-+]?\d{1,3})?")
_SCIENTIFIC = re.compile(
    r"([-+]?)\s*(?:(\d{1,60}\.?\d{0,60})\s*(?:\\times|\\cdot|\*)\s*)?10\s*\^\s*(\{\s*)?([-+]?\d{1,3})\s*(?(3)\})"
)
_POWER = r"(?:\s*\^\s*\{?\s*-?[123]\s*\}?)?"
# A word of three letters or more, or a unit's symbol; perhaps to a power, perhaps per another.
_UNIT_WORD = rf"(?:[A-Za-z]{{3,}}|[kMGmcn\u00b5]?(?:m|g|s|h|l|L|N|J|W|V|A|K|C|F|Hz|Pa|eV)|ft|T){_POWER}"
_UNIT_TEXT = rf"(?:\s|\\[ ,;])*\\(?:text|textrm|mathrm|mbox)\s*\{{[^{{}}]*\}}{_POWER}"
# What is a unit also right behind a number.
_UNIT_CLOSE = rf"(?:[kcm]m|[km]g|m[lL]|k?Hz|k?Pa|eV|k[JNW]|mph|ft|min|sec|st|nd|rd|th){_POWER}"
_UNIT = re.compile(
    rf"(?:(?<=[\d)}}])|(?<=\\pi))(?:\s*(?:\^\s*\{{?\s*\\circ\s*\}}?|\\degree\b)(?:\s*[CF]\b)?)?(?:{_UNIT_TEXT}){{0,8}}"
    rf"(?:\s+{_UNIT_WORD}(?:\s*(?:/|per\s)\s*{_UNIT_WORD})?(?:\s+[A-Za-z]+)*|(?<=\d){_UNIT_CLOSE})?$"
)
_PERCENT = re.compile(r"\\?%|\bper\s?cent\b", re.IGNORECASE)
_TEXT = re.compile(r"\\(?:text\w*|math(?:rm|bf|it|sf|normal)|operatorname|mbox)\s*\{([^{}]*)\}")


def plain(answer: str) -> str:
    """An answer without delimiters, its signs as LaTeX commands; all other LaTeX is left to math-verify."""
    text = _DELIMITERS.sub("", answer)
    text = _RAISED.sub(lambda match: f"^{{{_spelled_out(match[0])}}}", text)
    text = _VULGAR.sub(_vulgar, text)
    text = _ROOT.sub(r"\\sqrt{\1\2\3}", text.translate(_SIGNS))
    text = _ROW_GAP.sub("", text).replace("\\varnothing", "\\emptyset")
    text = _GROUPED.sub(lambda match: re.sub(r"\D", "", match[0]), text)
    text = " ".join(text.split()).strip("*` ").rstrip(". *`")
    if match := _TEXT.fullmatch(text):
        text = match[1]
    return text.removeprefix("\\approx").removeprefix("=").strip()


def without_text_commands(text: str) -> str:
    """`text` with what its text commands hold in their place."""
    return _TEXT.sub(r" \1 ", text)


def without_unit(text: str) -> str:
    """A quantity's number: `12 cm`, `12\\text{ cm}` and `12 dollars a day` are 12."""
    return _UNIT.sub("", text)


def without_percent(text: str) -> str | None:
    """The number in front of a percent sign, None if there is no such sign."""
    return _PERCENT.sub("", text) if _PERCENT.search(text) else None


def rewritten(text: str) -> str:
    """What math-verify reads as something else, in LaTeX that it reads rightly."""
    if match := _MIXED.fullmatch(text):
        sign, whole, top, bottom = match[1], match[2], match[3] or match[5], match[4] or match[6]
        return f"{sign}({whole}+\\frac{{{top}}}{{{bottom}}})"
    if text.count("\\pm") == 1:
        return text.replace("\\pm", "+") + ", " + text.replace("\\pm", "-")
    return _REPEATING.sub(_fraction, text)


def decimal(text: str) -> Decimal | None:
    """The number that `text` is, as a decimal or in scientific notation; None if it is anything else."""
    if match := _SCIENTIFIC.fullmatch(text):
        text = f"{match[1]}{match[2] or 1}e{match[4]}"
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


def exact(text: str) -> str:
    """Scientific notation as a fraction: math-verify rounds decimals to six places, and small ones to 0."""
    number = decimal(text)
    if number is None or not re.search(r"[eE^]", text):
        return text
    top, bottom = number.as_integer_ratio()
    return f"\\frac{{{top}}}{{{bottom}}}"


def _spelled_out(signs: str) -> str:
    return unicodedata.normalize("NFKC", signs).replace("\u2212", "-")


def _vulgar(sign: re.Match[str]) -> str:
    top, _, bottom = _spelled_out(sign[0]).partition("\u2044")
    return f" \\frac{{{top}}}{{{bottom}}}"  # set apart: 3 in front of it makes a mixed number


def _fraction(repeating: re.Match[str]) -> str:
    whole, once, again = repeating.groups()
    top = int(whole + once + again) - int(whole + once or "0")
    return f"\\frac{{{top}}}{{{'9' * len(again)}{'0' * len(once)}}}"
