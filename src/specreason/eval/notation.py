"""One notation for what answers write in many: what math-verify does not read, or reads as something else.

math-verify is the judge, and it reads LaTeX well. So an answer is only touched where math-verify is known to
misread it, and each rule says what it makes of what.
"""

import re
import unicodedata
from fractions import Fraction

_DELIMITERS = re.compile(r"^\s*(?:\$\$?|\\\(|\\\[)(.*?)(?:\$\$?|\\\)|\\\])\s*$", re.DOTALL)
_SIGNS = {
    "\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u2009": " ", "\u202f": " ",
    "·": r"\cdot ", "⋅": r"\cdot ", "\u00d7": r"\times ", "÷": r"\div ", "±": r"\pm ",
    "≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "≈": r"\approx ",
    "∞": r"\infty ", "π": r"\pi ", "θ": r"\theta ", "°": r"^\circ ", "∅": r"\emptyset ",
    "\u222a": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
    r"\varnothing": r"\emptyset", r"\dfrac": r"\frac", r"\tfrac": r"\frac",
    r"\$": "", "$": "", "€": "", "£": "", "¥": "", "₹": "",
}  # fmt: skip
_SIGN = re.compile("|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True)))
_SIZE = re.compile(r"\\(?:left|right)(?![a-z])")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|\{([^{}]*)\}|(\w+))")
_SUPERSCRIPTS = re.compile(r"[⁰¹²³⁴-⁹⁻]+")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:\\,|\\ |\{,\}| )\d{3})+(?!\d)")
_SCIENTIFIC = re.compile(r"(?<![A-Za-z\d])(-?\d+(?:\.\d+)?)[eE]([+-]?\d+)(?![A-Za-z\d])")
_REPEATING = re.compile(r"(\d+)\.(\d*)\\(?:overline|bar)\s*(?:\{(\d+)\}|(\d))")
_MIXED = re.compile(r"^(-?)\s*(\d+)\s+(?:and\s+)?(?:(\d+)\s*/\s*(\d+)|\\frac\{(\d+)\}\{(\d+)\})$")
_TEMPERATURE = re.compile(r"\s*\^\s*\{?\s*\\circ\s*\}?\s*(?:\\(?:text|mathrm)\s*\{\s*[CF]\s*\}|[CF])\s*$")
# A word of three letters or more, or a short unit; perhaps squared, perhaps per another.
_SHORT_UNITS = (
    "km|cm|mm|nm|kg|mg|ml|mL|kHz|MHz|Hz|kPa|Pa|kJ|kW|kV|eV|mol|min|ft|in|lb|oz|mi|yd|m|s|h|g|l|L|N|J|W|V|A|K"
)
_UNIT_WORD = rf"(?:[A-Za-z]{{3,}}|{_SHORT_UNITS})(?:\s*\^\s*\{{?[23]\}}?)?"
_UNIT = re.compile(rf"(?<=[\d)}}])\s+{_UNIT_WORD}(?:\s*(?:/|per\s)\s*{_UNIT_WORD})?(?:\s+[A-Za-z]+)*$")
_PERCENT = re.compile(r"\\?%|\bper\s?cent\b", re.IGNORECASE)


def tidied(answer: str) -> str:
    """An answer without delimiters, in LaTeX signs; numbers without grouping, repeating ones as fractions."""
    text = answer.strip()
    if match := _DELIMITERS.match(text):
        text = match[1].strip()
    text = _SIZE.sub("", text)
    text = _ROOT.sub(lambda m: rf"\sqrt{{{m[1] or m[2] or m[3]}}}", text)
    text = _SUPERSCRIPTS.sub(lambda m: f"^{{{_ascii(m[0])}}}", text)
    text = "".join(_vulgar(character) for character in text)
    text = _SIGN.sub(lambda m: _SIGNS[m[0]], text)
    text = _GROUPED.sub(lambda m: re.sub(r"\D", "", m[0]), text)
    text = _SCIENTIFIC.sub(r"\1 \\cdot 10^{\2}", text)
    text = _REPEATING.sub(_fraction, text)
    text = _TEMPERATURE.sub("", text)
    text = text.strip().removesuffix(".").strip()
    if match := _MIXED.match(_UNIT.sub("", text)):
        sign, whole = match[1], match[2]
        text = rf"{sign}({whole}+\frac{{{match[3] or match[5]}}}{{{match[4] or match[6]}}})"
    return text


def without_unit(text: str) -> str:
    """A quantity's number: "12 cm" and "12 dollars a day" are 12."""
    return _UNIT.sub("", text)


def without_percent(text: str) -> str | None:
    """The number in front of a percent sign, None if there is no such sign."""
    return _PERCENT.sub("", text) if _PERCENT.search(text) else None


def _ascii(superscripts: str) -> str:
    return unicodedata.normalize("NFKC", superscripts).replace("\u2212", "-")


def _vulgar(character: str) -> str:
    """A fraction that is one character, set apart: 3½ is a mixed number."""
    spelled = unicodedata.normalize("NFKC", character) if unicodedata.category(character) == "No" else ""
    top, slash, bottom = spelled.partition("\u2044")
    return rf" \frac{{{top}}}{{{bottom}}}" if slash and bottom else character


def _fraction(match: re.Match[str]) -> str:
    whole, fixed, repeated = match[1], match[2], match[3] or match[4]
    value = Fraction(int(f"{whole}{fixed}{repeated}") - int(f"{whole}{fixed}"), 1)
    value /= 10 ** len(fixed) * (10 ** len(repeated) - 1)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
