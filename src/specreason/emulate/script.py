"""What an emulated pair says: a pure function of seed, problem, step and sample, the same for both servers.

A step's text names its number and its author, so whoever finds it in a prompt knows what the script holds of
it. Two drafts of one step fail together in part: a step is hard for every draft with probability
`shared_failures * (1 - acceptance)`, and what a draft fails beyond that is its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

from specreason.emulate.tokens import THINK_END, encode
from specreason.errors import ConfigError

SamplesBy = Literal["choice", "seed"]

# One token each, together with the space before it.
_WORDS = (
    *("add", "the", "two", "then", "carry", "sum", "next", "value", "so", "that"),
    *("gives", "take", "half", "minus", "times", "again", "from", "over", "rest", "is"),
)
_LEAST_STEP = 20  # tokens; the head of a step takes about ten
_SPREAD = 4  # step lengths and numbers vary by a quarter each way
_GOOD_SCORES = (8, 9)
_BAD_SCORES = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Step:
    """One step as one author writes it. `tokens` counts its tokens."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Script:
    """See the module. Raises ConfigError for values that make no script.

    `acceptance`: share of drafts that are good (0 to 1). `shared_failures`: share of a draft's failures that
    every draft of the step has (0 to 1). `steps`, `step_tokens`: about how many steps a problem has, and
    tokens a step, whoever writes it; both vary by a quarter each way. `samples_by`: what tells the drafts of
    one step apart; `choice`: only their place among the choices of one request, `seed`: its seed too.
    """

    seed: int = 0
    acceptance: float = 0.8
    shared_failures: float = 0.5
    steps: int = 12
    step_tokens: int = 55
    samples_by: SamplesBy = "choice"

    def __post_init__(self) -> None:
        for name, share in (("acceptance", self.acceptance), ("shared-failures", self.shared_failures)):
            if not 0 <= share <= 1:
                raise ConfigError(f"'{name}' is {share:g}; give a share from 0 to 1")
        if self.steps < 1:
            raise ConfigError(f"'steps' is {self.steps}; give at least 1")
        if self.step_tokens < _LEAST_STEP * _SPREAD // (_SPREAD - 1) + 1:
            raise ConfigError(f"'step-tokens' is {self.step_tokens}; give at least 28")

    def length(self, problem: int) -> int:
        """How many steps `problem` takes."""
        return max(1, _about(self.seed, self.steps, "steps", problem))

    def step(self, problem: int, index: int, sample: int | None) -> Step:
        """Step `index`, from 0: the small model's draft number `sample`, or the base model's (None)."""
        return _step(self, problem, index, sample)

    def is_good(self, problem: int, index: int, sample: int | None) -> bool:
        """Whether a step is right. The base model's always are."""
        if sample is None:
            return True
        failures = 1 - self.acceptance
        shared = self.shared_failures * failures
        own = (failures - shared) / (1 - shared) if shared < 1 else 1.0
        hard = _chance(self.seed, "hard", problem, index) < shared
        return not hard and _chance(self.seed, "draft", problem, index, sample) >= own

    def score(self, problem: int, index: int, sample: int | None) -> int:
        """The base model's rating: 8 or 9 for a good step, 1 to 4 for a bad one."""
        scores = _GOOD_SCORES if self.is_good(problem, index, sample) else _BAD_SCORES
        return scores[int(_chance(self.seed, "score", problem, index, sample) * len(scores))]

    def best(self, problem: int, index: int, drafts: int) -> int | None:
        """Which of the first `drafts` drafts is rated best, the first of equals; None if all are bad."""
        good = [sample for sample in range(drafts) if self.is_good(problem, index, sample)]
        return max(good, key=lambda sample: self.score(problem, index, sample), default=None)

    def sample(self, choice: int, seed: int | None) -> int:
        """Which draft choice number `choice` of a request with `seed` gets."""
        return choice + (seed or 0 if self.samples_by == "seed" else 0)

    def answer(self, problem: int, kept: Iterable[tuple[int, int | None]]) -> str:
        r"""What is said after thinking; right unless a bad draft is among the `kept` (index, sample)."""
        number = int(_chance(self.seed, "answer", problem) * 899) + 100
        if not all(self.is_good(problem, index, sample) for index, sample in kept):
            number += 1
        return f"The answer is \\boxed{{{number}}}."


@lru_cache(maxsize=16384)
def _step(script: Script, problem: int, index: int, sample: int | None) -> Step:
    author = "base" if sample is None else f"draft {sample}"
    head = f"Step {index + 1} ({author}):"
    end = "\n\n" if index + 1 < script.length(problem) else f"\n{THINK_END}"
    tokens = _about(script.seed, script.step_tokens, "tokens", problem, index)
    start = int(_chance(script.seed, "words", problem, index, sample) * len(_WORDS))
    words = (_WORDS[(start + 7 * n) % len(_WORDS)] for n in range(tokens - len(encode(head + end))))
    text = " ".join((head, *words)) + end
    return Step(text, len(encode(text)))


def _about(seed: int, mean: int, *key: object) -> int:
    return round(mean * (1 + (2 * _chance(seed, *key) - 1) / _SPREAD))


def _chance(seed: int, *key: object) -> float:
    """A number in [0, 1) that depends on seed and key alone.

    Not on the acceptance, so that raising it turns bad drafts into good ones and changes nothing else.
    """
    digest = blake2b(repr((seed, *key)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
