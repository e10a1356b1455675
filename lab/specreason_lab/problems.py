"""Multi-step problems with exact answers: the world in which the pocket pair reasons.

A problem is a list of named quantities, each computed from earlier ones; what differs between families is
how the problem is told. The solution is one step a quantity, written so that a small model can look things
up: a step repeats its line, looks up the value before, and ends with the new name and value.

    Let us go on with the next line of the problem:
    3) c +7 with b 12 gives c 19

The first line says nothing: large models spend words too, and scoring pays where a step has some length.
"""

import hashlib
import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Family = Literal["chain", "words", "sequence"]
Split = Literal["train", "dev", "test", "hard"]

FAMILIES: tuple[Family, ...] = ("chain", "words", "sequence")
MODULUS = 100
LENGTHS = (3, 12)  # steps of a problem
HARD_LENGTHS = (13, 20)  # out of distribution: longer than anything in training
THINK_CLOSE = "</think>"
GOING_ON = "Let us go on with the next line of the problem:"


@dataclass(frozen=True, slots=True)
class Quantity:
    """`name` comes from `last` by `op`, with `numbers` of its own; the problem says it as `told`."""

    name: str
    last: str
    op: str
    numbers: tuple[int, ...]
    told: str

    def value(self, values: Mapping[str, int]) -> int:
        """What it comes to. Raises KeyError if the last quantity's value is not known."""
        return OPERATIONS[self.op].compute(values[self.last], *self.numbers)


@dataclass(frozen=True, slots=True)
class Problem:
    """`text` is the user's turn; it states `given` and asks for `quantities`, to be computed in order."""

    family: Family
    text: str
    given: Mapping[str, int]
    quantities: tuple[Quantity, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The right chain, each step with what ends it (a blank line, or the end of thinking)."""
        told: list[str] = []
        values = dict(self.given)
        for index, quantity in enumerate(self.quantities):
            value = quantity.value(values)
            last = index == len(self.quantities) - 1
            told.append(written(quantity, index, values, value, last=last))
            values[quantity.name] = value
        return tuple(told)

    @property
    def answer(self) -> int:
        """The last quantity's value."""
        return _stated(self.steps[-1])[1]

    def right(self, before: Sequence[str], step: str) -> bool:
        """Whether `step` is right after the steps `before`, taking the values that they state."""
        expected = self.expected(before)
        return expected is not None and " ".join(step.split()) == " ".join(expected.split())

    def expected(self, before: Sequence[str]) -> str | None:
        """The right step after the steps `before`; None at the end, or if one of them left a value out."""
        if (index := len(before)) >= len(self.quantities):
            return None
        values = self.values(before)
        quantity, last = self.quantities[index], index == len(self.quantities) - 1
        try:
            return written(quantity, index, values, quantity.value(values), last=last)
        except KeyError:
            return None

    def values(self, before: Sequence[str]) -> dict[str, int]:
        """What is known after the steps `before`, as they state it."""
        return {**self.given, **dict(_stated(text) for text in before if _STATED.search(text))}


def written(
    quantity: Quantity,
    index: int,
    values: Mapping[str, int],
    value: int,
    *,
    last: bool = False,
    product: int | None = None,
) -> str:
    """The step that computes a quantity from `values` and states `value`.

    A product with a sum on top goes in two stages; `product` is the first one's result, if it is wrong.
    """
    known = values[quantity.last]
    end = f"\n{THINK_CLOSE}\n\n" if last else "\n\n"
    stage = ""
    if quantity.op == "mixed":
        stage = f" => {_product(known, quantity.numbers[0]) if product is None else product}"
    line = f"{index + 1}) {quantity.name} {quantity.told}"
    return f"{GOING_ON}\n{line} with {quantity.last} {known}{stage} gives {quantity.name} {value}{end}"


def _missed(rng: random.Random, quantity: Quantity, values: Mapping[str, int]) -> tuple[int, int | None]:
    """A wrong result, often wrong by little, and the wrong product that it comes from, if any."""
    by = rng.choice((rng.choice((-10, -2, -1, 1, 2, 10)), rng.randrange(1, MODULUS)))
    product = None
    if quantity.op == "mixed" and rng.random() < 0.6:
        product = (_product(values[quantity.last], quantity.numbers[0]) + by) % MODULUS
    return (quantity.value(values) + by) % MODULUS, product


@dataclass(frozen=True, slots=True)
class Operation:
    """`told`: how a formula says it; `words`: how a story does; `weight`: its share in chains."""

    compute: Callable[..., int]
    told: str
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
    "add": Operation(_sum, "+{}", 6, "{} more"),
    "subtract": Operation(_difference, "-{}", 6, "{} fewer"),
    "half": Operation(_half, "half", 2, "half as many"),
    "digits": Operation(_digit_sum, "digits", 2),
    "double": Operation(_double, "double", 2, "twice as many"),
    # The hard ones: a large table, and a sum on top of it.
    "times": Operation(_product, "*{}", 4, "{} times as many"),
    "mixed": Operation(_product, "*{} +{}", 3),
}
HARD = ("times", "mixed")  # their first number is one of FACTORS
FACTORS = (2, 40)
_WEIGHTS = [operation.weight for operation in OPERATIONS.values()]
_STATED = re.compile(r"gives (\w+) (\d+)(?!\S)")


def _stated(step: str) -> tuple[str, int]:
    found = _STATED.search(step)
    assert found is not None
    return found[1], int(found[2])


def stated_answer(text: str) -> int | None:
    """The number in the last box of a reply, None if there is none."""
    found = re.findall(r"\\boxed\{(\d+)\}", text)
    return int(found[-1]) if found else None


def reply(answer: int) -> str:
    """What follows the thinking block."""
    return rf"The answer is \boxed{{{answer}}}."


def problems(seed: int, split: Split, lengths: tuple[int, int] | None = None) -> Iterator[Problem]:
    """Endless problems of a split, the same for the same seed.

    A problem belongs to the split that the hash of its text says, so that no problem of dev, test or hard can
    be met in training, whatever the seeds.
    """
    chosen = random.Random(f"{split} {seed}")
    low, high = lengths or (HARD_LENGTHS if split == "hard" else LENGTHS)
    while True:
        made = problem(chosen, chosen.randint(low, high))
        # Sequences stay short in every split, so hard ones too must be of those that training never meets.
        if split_of(made.text) == ("test" if split == "hard" else split):
            yield made


def split_of(text: str) -> Split:
    """Where a problem belongs: of 100 problems 96 train, 2 dev, 2 test (if it is long: hard)."""
    drawn = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100
    return "test" if drawn < 2 else "dev" if drawn < 4 else "train"


def problem(rng: random.Random, steps: int) -> Problem:
    """One problem of any family with so many steps."""
    family = rng.choices(FAMILIES, (6, 3, 1))[0]
    return {"chain": _chain, "words": _words, "sequence": _sequence}[family](rng, steps)


_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _chain(rng: random.Random, steps: int) -> Problem:
    names = rng.sample(_LETTERS, 1 + steps)
    given = {names[0]: rng.randrange(MODULUS)}
    quantities = tuple(_computed(rng, name, last) for last, name in itertools.pairwise(names))
    lines = [f"Modulo 100, each line from the one before. Start with {names[0]} {given[names[0]]}"]
    for number, quantity in enumerate(quantities, 1):
        lines.append(f"{number}) {quantity.name} {quantity.told}")
    text = "\n".join(lines) + f"\nWhat is {names[-1]}?"
    return Problem("chain", text, given, quantities)


def _computed(rng: random.Random, name: str, last: str, ops: Sequence[str] | None = None) -> Quantity:
    """A quantity that uses the one before it, so that every step is needed, and numbers of its own."""
    op = rng.choice(ops) if ops else rng.choices(list(OPERATIONS), _WEIGHTS)[0]
    numbers = [rng.randint(1, MODULUS - 1) for _ in range(OPERATIONS[op].told.count("{}"))]
    if op in HARD:
        numbers[0] = rng.randint(*FACTORS)
    return Quantity(name, last, op, tuple(numbers), OPERATIONS[op].told.format(*numbers))


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
    """A story in which nobody has more than 99 things."""
    people = rng.sample(_PEOPLE, 1 + steps)
    things = rng.choice(_THINGS)
    values = {people[0]: rng.randint(5, 40)}
    told = [
        f"Today {people[0]} has {values[people[0]]} {things}. The others, each compared to the one before:"
    ]
    quantities: list[Quantity] = []
    for number, name in enumerate(people[1:], 1):
        last = people[number - 1]
        quantity = _relation(rng, name, last, values[last])
        values[name] = quantity.value(values)
        quantities.append(quantity)
        told.append(f"{number}) {name} {quantity.told}")
    text = "\n".join(told) + f"\nHow many {things} has {people[-1]}?"
    return Problem("words", text, {people[0]: values[people[0]]}, tuple(quantities))


def _relation(rng: random.Random, name: str, last: str, value: int) -> Quantity:
    """A relation to the last person that keeps the value within 1 to 99."""
    while True:
        op = rng.choice(("add", "subtract", "half", "double", "times"))
        n = rng.randrange(3, len(COUNTS))
        fits = {
            "add": value + n < MODULUS,
            "subtract": value > n,
            "half": value % 2 == 0,
            "double": value * 2 < MODULUS,
            "times": value * n < MODULUS,
        }
        if fits[op]:
            numbers = () if op in {"half", "double"} else (n,)
            return Quantity(name, last, op, numbers, OPERATIONS[op].words.format(COUNTS[n]))


def _sequence(rng: random.Random, steps: int) -> Problem:
    """A recurrence modulo 100: every step is a hard one, so these are short."""
    steps = min(steps, 6)
    start, factor, addend = rng.randrange(MODULUS), rng.randint(2, 9), rng.randint(1, MODULUS - 1)
    names = list(_LETTERS[: steps + 1])
    told = OPERATIONS["mixed"].told.format(factor, addend)
    quantities = tuple(
        Quantity(name, before, "mixed", (factor, addend), told) for before, name in itertools.pairwise(names)
    )
    text = (
        f"A sequence modulo 100 starts with a {start}. Each next term is the one before {told}. "
        f"What is {names[-1]}?"
    )
    return Problem("sequence", text, {"a": start}, quantities)


def corrupted(rng: random.Random, made: Problem, before: Sequence[str]) -> str:
    """A wrong step after `before`: miscalculated, with a wrong value, or out of another line of the problem.

    It always states a value for the right name, so that the chain can go on from it.
    """
    index = len(before)
    quantity, values = made.quantities[index], made.values(before)
    last = index == len(made.quantities) - 1
    right = written(quantity, index, values, quantity.value(values), last=last)
    while True:
        kind = rng.choices(("calculation", "operand", "line"), (4, 1, 5))[0]
        if kind == "calculation":
            return miscalculated(rng, quantity, index, values, last=last)
        if kind == "operand":
            other = values | {quantity.last: rng.choice([rng.randrange(MODULUS), *values.values()])}
            wrong = written(quantity, index, other, quantity.value(other), last=last)
        else:
            line = rng.choice(made.quantities)
            misread = replace(quantity, op=line.op, numbers=line.numbers, told=line.told)
            wrong = written(misread, index, values, misread.value(values), last=last)
        if wrong != right:
            return wrong


def miscalculated(
    rng: random.Random, quantity: Quantity, index: int, values: Mapping[str, int], *, last: bool = False
) -> str:
    """A step whose result is wrong, often by little."""
    wrong, product = _missed(rng, quantity, values)
    return written(quantity, index, values, wrong, last=last, product=product)


def loose_step(rng: random.Random) -> tuple[str, str]:
    """A step without a problem, as it stands, and as it should be; half are miscalculated, most are hard."""
    name, last = rng.sample(_LETTERS, 2)
    values = {last: rng.randrange(MODULUS)}
    quantity = _computed(rng, name, last, (*HARD, *HARD, *OPERATIONS))
    index = rng.randrange(LENGTHS[1])
    right = written(quantity, index, values, quantity.value(values))
    return (miscalculated(rng, quantity, index, values) if rng.random() < 0.5 else right), right
