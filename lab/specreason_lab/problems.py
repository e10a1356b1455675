"""Multi-step problems with exact answers: the world in which the pocket pair reasons.

A problem is a value to start with and a list of lines, each of which makes another value of the last one;
what differs between families is how they are worded. The solution is one step a line, written so that a small
model can look things up: a step repeats its line and the value before, and ends with the new one.

    Let us go on with the next line of the problem, and take the value that we have found so far:
    3) +7 with 12 gives 19

The first line says nothing: large models spend words too, and scoring pays where a step has some length.
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Family = Literal["chain", "words", "sequence"]
Split = Literal["train", "dev", "test", "hard"]

FAMILIES: tuple[Family, ...] = ("chain", "words", "sequence")
MODULUS = 100
MIX = (9, 8, 2)  # how often the families come, relatively
LENGTHS = (3, 7)  # steps of a problem
HARD_LENGTHS = (8, 12)  # out of distribution: longer than anything in training
THINK_CLOSE = "</think>"
GOING_ON = "Let us go on with the next line of the problem, and take the value that we have found so far:"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a problem: `op` with `numbers` of its own, which the problem says as `text`."""

    op: str
    numbers: tuple[int, ...]
    text: str

    def value(self, before: int) -> int:
        """What it makes of the value before it."""
        return OPERATIONS[self.op].compute(before, *self.numbers)


@dataclass(frozen=True, slots=True)
class Problem:
    """`text` is the user's turn: a value to start with, and lines that each make another one of the last."""

    family: Family
    text: str
    start: int
    lines: tuple[Line, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The right chain, each step with what ends it (a blank line, or the end of thinking)."""
        steps: list[str] = []
        while (step := self.expected(steps)) is not None:
            steps.append(step)
        return tuple(steps)

    @property
    def answer(self) -> int:
        """The last value."""
        return self.value(self.steps)

    def right(self, before: Sequence[str], step: str) -> bool:
        """Whether `step` is right after the steps `before`, taking the value that the last of them states."""
        expected = self.expected(before)
        return expected is not None and " ".join(step.split()) == " ".join(expected.split())

    def expected(self, before: Sequence[str]) -> str | None:
        """The right step after the steps `before`; None at the end."""
        if (index := len(before)) >= len(self.lines):
            return None
        value = self.value(before)
        return written(self, index, self.lines[index], value, self.lines[index].value(value))

    def value(self, before: Sequence[str]) -> int:
        """What the last of the steps `before` states; the start without one."""
        stated = [int(found[1]) for text in before if (found := _STATED.search(text))]
        return stated[-1] if stated else self.start


def written(
    problem: Problem, index: int, line: Line, before: int, value: int, product: int | None = None
) -> str:
    """The step that makes `value` of the value `before`.

    A product with a sum on top goes in two stages; `product` is the first one's result, if it is wrong.
    """
    last = index == len(problem.lines) - 1
    stage = ""
    if line.op == "mixed":
        stage = f" => {_product(before, line.numbers[0]) if product is None else product}"
    end = f"\n{THINK_CLOSE}\n\n" if last else "\n\n"
    return f"{GOING_ON}\n{index + 1}) {line.text} with {before}{stage} gives {value}{end}"


def _missed(rng: random.Random, line: Line, before: int) -> tuple[int, int | None]:
    """A wrong result, often wrong by little, and the wrong product that it comes from, if any."""
    by = rng.choice((rng.choice((-10, -2, -1, 1, 2, 10)), rng.randrange(1, MODULUS)))
    product = None
    if line.op == "mixed" and rng.random() < 0.6:
        product = (_product(before, line.numbers[0]) + by) % MODULUS
    return (line.value(before) + by) % MODULUS, product


@dataclass(frozen=True, slots=True)
class Operation:
    """`text`: how a formula says it; `words`: how a story does; `weight`: its share in chains."""

    compute: Callable[..., int]
    text: str
    weight: int
    words: str = ""


def _digit_sum(a: int) -> int:
    return a // 10 + a % 10


def _sum(a: int, b: int) -> int:
    return (a + b) % MODULUS


def _difference(a: int, b: int) -> int:
    return (a - b) % MODULUS


def _product(a: int, b: int, c: int = 0) -> int:
    return (a * b + c) % MODULUS


def _half(a: int) -> int:
    return a // 2


def _double(a: int) -> int:
    return 2 * a % MODULUS


OPERATIONS: Mapping[str, Operation] = {
    "add": Operation(_sum, "+{}", 6, "gains {}"),
    "subtract": Operation(_difference, "-{}", 6, "loses {}"),
    "half": Operation(_half, "half", 2, "halves"),
    "digits": Operation(_digit_sum, "digits", 2),
    "double": Operation(_double, "double", 2, "doubles"),
    # The hard ones: a large table, and a sum on top of it.
    "times": Operation(_product, "*{}", 4, "times {}"),
    "mixed": Operation(_product, "*{} +{}", 3),
}
HARD = ("times", "mixed")  # their first number is one of FACTORS
DRILLED = (*HARD, *HARD, *OPERATIONS)  # operations of loose steps
SIMPLE_SUMS = (*OPERATIONS, *HARD, *("add", "subtract") * 4)
SUMS = (*OPERATIONS, *HARD, *HARD, *("add", "subtract") * 2)
STORY = "story"  # any operation, in words
ALL_DRILLED = (*SUMS, *(STORY,) * 15)
FACTORS = (2, 40)
_WEIGHTS = [operation.weight for operation in OPERATIONS.values()]
_STATED = re.compile(r"gives (\d+)(?!\S)")


def stated_answer(text: str) -> int | None:
    """The number in the last box of a reply, None if there is none."""
    found = re.findall(r"\\boxed\{(\d+)\}", text)
    return int(found[-1]) if found else None


def reply(answer: int) -> str:
    """What follows the thinking block."""
    return rf"The answer is \boxed{{{answer}}}."


def problems(
    seed: int, split: Split, lengths: tuple[int, int] | None = None, mix: Sequence[int] = MIX
) -> Iterator[Problem]:
    """Endless problems of a split, the same for the same seed.

    A problem belongs to the split that the hash of its text says, so that no problem of dev, test or hard can
    be met in training, whatever the seeds.
    """
    chosen = random.Random(f"{split} {seed}")
    low, high = lengths or (HARD_LENGTHS if split == "hard" else LENGTHS)
    while True:
        made = problem(chosen, chosen.randint(low, high), mix)
        # Sequences stay short in every split, so hard ones too must be of those that training never meets.
        if split_of(made.text) == ("test" if split == "hard" else split):
            yield made


def split_of(text: str) -> Split:
    """Where a problem belongs: of 100 problems 96 train, 2 dev, 2 test (if it is long: hard)."""
    drawn = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100
    return "test" if drawn < 2 else "dev" if drawn < 4 else "train"


def problem(rng: random.Random, steps: int, mix: Sequence[int] = MIX) -> Problem:
    """One problem of any family with so many steps."""
    family = rng.choices(FAMILIES, mix)[0]
    return {"chain": _chain, "words": _words, "sequence": _sequence}[family](rng, steps)


def _chain(rng: random.Random, steps: int) -> Problem:
    start, lines = rng.randrange(MODULUS), tuple(_formula(rng) for _ in range(steps))
    text = f"Modulo 100, start with {start}.\n{_listed(lines)}\nWhat comes out?"
    return Problem("chain", text, start, lines)


def _listed(lines: Sequence[Line]) -> str:
    return "\n".join(f"{number}) {line.text}" for number, line in enumerate(lines, 1))


def _formula(rng: random.Random, op: str | None = None) -> Line:
    op = op or rng.choices(list(OPERATIONS), _WEIGHTS)[0]
    numbers = [rng.randint(1, MODULUS - 1) for _ in range(OPERATIONS[op].text.count("{}"))]
    if op in HARD:
        numbers[0] = rng.randint(*FACTORS)
    return Line(op, tuple(numbers), OPERATIONS[op].text.format(*numbers))


# fmt: off
_PEOPLE = [
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jan", "Kim", "Leo",
    "Mia", "Nils", "Oda", "Pia", "Quin", "Rosa", "Sam", "Tom", "Uma", "Vera", "Will", "Yan",
]
COUNTS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]
# fmt: on
_THINGS = ["apples", "books", "coins", "eggs", "marbles", "pears", "shells", "stamps"]


def _words(rng: random.Random, steps: int) -> Problem:
    """A story in which somebody always has 1 to 99 things."""
    person, things = rng.choice(_PEOPLE), rng.choice(_THINGS)
    start = value = rng.randint(5, 40)
    lines: list[Line] = []
    for _ in range(steps):
        lines.append(_event(rng, value))
        value = lines[-1].value(value)
    text = f"{person} has {start} {things}. Their number then\n{_listed(lines)}\nHow many has {person} now?"
    return Problem("words", text, start, tuple(lines))


def _event(rng: random.Random, value: int) -> Line:
    while True:
        op = rng.choice([op for op, operation in OPERATIONS.items() if operation.words])
        n = rng.randrange(3, len(COUNTS))
        exact = op != "half" or value % 2 == 0
        numbers = (n,) if "{}" in OPERATIONS[op].words else ()
        line = Line(op, numbers, OPERATIONS[op].words.format(COUNTS[n]))
        plain = {"add": value + n, "subtract": value - n, "times": value * n, "double": value * 2}.get(
            op, value
        )
        if exact and 0 < plain < MODULUS:
            return line


def _sequence(rng: random.Random, steps: int) -> Problem:
    """A recurrence modulo 100: every step is a hard one, so these are short."""
    steps = min(steps, 6)
    start, factor, addend = rng.randrange(MODULUS), rng.randint(2, 9), rng.randint(1, MODULUS - 1)
    line = Line("mixed", (factor, addend), OPERATIONS["mixed"].text.format(factor, addend))
    lines = (line,) * steps
    text = (
        f"A sequence modulo 100 starts with {start}. Each next term is the one before\n{_listed(lines)}\n"
        f"What is term {steps} after the start?"
    )
    return Problem("sequence", text, start, lines)


def corrupted(rng: random.Random, made: Problem, before: Sequence[str]) -> str:
    """A wrong step after `before`: miscalculated, with a wrong value, or out of another line of the problem.

    It always states a value, so that the chain can go on from it.
    """
    index, value = len(before), made.value(before)
    line, right = made.lines[index], made.expected(before)
    while True:
        kind = rng.choices(("calculation", "value", "line"), (4, 1, 5))[0]
        if kind == "calculation":
            return miscalculated(rng, made, index, line, value)
        if kind == "value":
            other = rng.choice([rng.randrange(MODULUS), *(made.value(before[:n]) for n in range(index + 1))])
            wrong = written(made, index, line, other, line.value(other))
        else:
            misread = rng.choice((*made.lines, _formula(rng)))
            wrong = written(made, index, misread, value, misread.value(value))
        if wrong != right:
            return wrong


def miscalculated(rng: random.Random, made: Problem, index: int, line: Line, before: int) -> str:
    """A step whose result is wrong, often by little."""
    wrong, product = _missed(rng, line, before)
    return written(made, index, line, before, wrong, product)


def loose_step(rng: random.Random, operations: Sequence[str] = DRILLED) -> tuple[str, str]:
    """A step without a problem, as it stands, and as it should be; half are miscalculated."""
    op = rng.choice(operations)
    formula = None if op == STORY else _formula(rng, op)
    index, before = rng.randrange(LENGTHS[1]), rng.randrange(MODULUS)
    line = formula or _event(rng, before)
    made = Problem("chain", "", before, (line,) * (index + 2))
    right = written(made, index, line, before, line.value(before))
    return (miscalculated(rng, made, index, line, before) if rng.random() < 0.5 else right), right
