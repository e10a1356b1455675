"""From the base model's next-token distribution to a score from 0 to 9 (SpecReason, section 4.1)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Method = Literal["greedy", "expected"]

DIGITS = tuple("0123456789")
# A tokenizer may hold the digit with the space before it as one token.
CANDIDATES = (*DIGITS, *(f" {digit}" for digit in DIGITS))
# Below this share of the probability on digits the reply is no score at all.
_LEAST_COVERAGE = 0.01


@dataclass(frozen=True, slots=True)
class Score:
    """A judge's verdict on one step.

    `value`: 0 to 9, None if the reply could not be read as a score. `coverage`: probability that the next
    token is a digit (0 to 1). `digits`: probabilities of the digits, summing to `coverage`.
    """

    value: float | None
    coverage: float
    digits: Mapping[str, float]
    method: Method


def score(logprobs: Mapping[str, float], method: Method) -> tuple[float | None, float, dict[str, float]]:
    """Score, coverage and digit probabilities from a distribution over next-token texts.

    `greedy`: the likeliest token if it is a digit, else None. `expected`: the mean over the digits, None if
    they hold less than 1% of the probability. The paper scores an unreadable reply 0; we keep it apart.
    """
    digits = dict.fromkeys(DIGITS, 0.0)
    for text, logprob in logprobs.items():
        if text.strip() in digits and not math.isnan(logprob):
            digits[text.strip()] += math.exp(min(logprob, 0.0))
    coverage = sum(digits.values())
    if coverage > 1.0:  # rounding in the engine
        digits = {digit: p / coverage for digit, p in digits.items()}
        coverage = 1.0
    if method == "greedy":
        likeliest = max(logprobs, key=lambda text: logprobs[text], default="").strip()
        value = float(likeliest) if likeliest in digits else None
    elif coverage >= _LEAST_COVERAGE:
        value = min(9.0, sum(int(digit) * (p / coverage) for digit, p in digits.items()))
    else:
        value = None
    return value, coverage, {digit: p for digit, p in digits.items() if p > 0}
