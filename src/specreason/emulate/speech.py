"""From a prompt's reading and the script to the tokens that an emulated model writes, and their chances."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import log
from typing import Literal

from specreason.emulate.reading import Reading
from specreason.emulate.script import Script
from specreason.emulate.tokens import END_ID, encode
from specreason.reasoning.prompts import ANSWER_CUE

Role = Literal["base", "small"]

# Of the token that is written: log-probabilities tell nothing of a draft here.
_CHOSEN = 0.9
# Of the rating, of the two digits beside it, and of each other digit.
_RATED, _BESIDE, _OTHER = 0.7, 0.12, 0.005
_NEVER = -20.0
_DIGITS = tuple(encode(str(digit))[0] for digit in range(10))
_OTHERS = tuple(encode(f" {letter}")[0] for letter in "abcdefghijklmnopqrstuvwxyz")


def said(script: Script, role: Role, reading: Reading, sample: int) -> Iterator[int]:
    """The token ids that follow the prompt, up to and with the end of the turn."""
    author = None if role == "base" else sample
    problem = reading.problem
    if reading.asks == "score":
        yield _DIGITS[_rating(script, reading)]
        yield from encode("]")
    if reading.asks == "step":
        to_write = range(reading.next_index, script.length(problem))
        yield from encode(_rest(script, reading))
        for index in to_write:
            text = script.step(problem, index, author).text
            # What stands may be less than a step's head, which names no step yet.
            if index == reading.next_index and not reading.in_step and text.startswith(reading.started):
                text = text.removeprefix(reading.started)
            yield from encode(text)
        kept = [(mark.index, mark.sample) for mark in reading.kept] + [(n, author) for n in to_write]
        yield from encode(f"\n\n{script.answer(problem, kept)}")
    if reading.asks == "answer":
        answered = script.answer(problem, [(m.index, m.sample) for m in reading.kept])
        if reading.started == ANSWER_CUE:
            yield from encode(answered.partition("{")[2])
        elif reading.started:
            yield from encode(answered.removeprefix(reading.started.lstrip("\n")))
        else:
            yield from encode(f"\n\n{answered}")
    yield END_ID


def distribution(script: Script, reading: Reading, token: int, first: bool) -> Mapping[int, float]:
    """Log-probabilities of the likeliest tokens where `token` is written, the likeliest first."""
    return _rated(_rating(script, reading)) if first and reading.asks == "score" else _written(token)


@lru_cache
def _rated(rating: int) -> Mapping[int, float]:
    shares = {0: _RATED, 1: _BESIDE}
    return _ranked({token: shares.get(abs(digit - rating), _OTHER) for digit, token in enumerate(_DIGITS)})


@lru_cache(maxsize=4096)
def _written(token: int) -> Mapping[int, float]:
    return _ranked({token: _CHOSEN})


def _ranked(chances: dict[int, float]) -> Mapping[int, float]:
    rest = 1 - sum(chances.values())
    for other in _OTHERS:
        chances.setdefault(other, rest / len(_OTHERS))
    return {token: log(chance) for token, chance in sorted(chances.items(), key=lambda item: -item[1])}


def logprob_of(chances: Mapping[int, float], token: int) -> float:
    """The log-probability of a token, whether or not it is among the likeliest."""
    return chances.get(token, _NEVER)


def _rating(script: Script, reading: Reading) -> int:
    """The script's rating of the last step; 0 for a reply in which there is none of its steps."""
    if not reading.kept:
        return 0
    last = reading.kept[-1]
    return script.score(reading.problem, last.index, last.sample)


def _rest(script: Script, reading: Reading) -> str:
    """What is missing of a step that stands in part; a blank line if it is not as the script has it."""
    if not reading.in_step:
        return ""
    last = reading.kept[-1]
    whole = script.step(reading.problem, last.index, last.sample).text
    return whole.removeprefix(reading.started) if whole.startswith(reading.started) else "\n\n"
