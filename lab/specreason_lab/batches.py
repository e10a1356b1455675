"""Training batches: chains, with the judge's questions as branches of them.

A branch is a candidate step and the judge's token, hung on the chain before that step. Branches see the chain
and themselves, never each other, and nothing in the chain sees a branch: so one pass over one chain teaches
all its steps and many verdicts, and every token stands in the context that it will meet in use.

    chain    <think> 1) ... 2) ... 3) ... </think> The answer ...
                       |      |
    branches           |      +- 2) wrong ... J -> 0
                       +- J -> 9
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from tokenizers import Tokenizer
from torch import Tensor

from specreason.reasoning.prompts import INLINE_JUDGE, INSTRUCTION
from specreason_lab.problems import Problem, corrupted, fact, problems, reply
from specreason_lab.tokenizer import TURN_END, encode, opened

CHAIN = 0
PADDING = -1
_FACTS = 20  # in a row of drill
# Problems with candidates for their steps, [(index, text)]: what the small model itself wrote there.
Candidates = Sequence[tuple[Problem, Sequence[tuple[int, str]]]]


@dataclass(frozen=True, slots=True)
class Batch:
    """`targets` is -100 where nothing is to be learned; `judged` marks the verdicts among them; `looked_up`
    marks the operands' values.

    All but `mask` ([rows, 1, tokens, tokens]) are [rows, tokens].
    """

    ids: Tensor
    positions: Tensor
    targets: Tensor
    judged: Tensor
    looked_up: Tensor
    mask: Tensor


@dataclass(slots=True)
class _Row:
    ids: list[int]
    positions: list[int]
    targets: list[int]
    judged: list[bool]
    looked_up: list[bool]
    branch: list[int]  # CHAIN, or the number of the branch
    seen: list[int]  # how much of the chain a token of a branch sees


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes batches of about `tokens` tokens.

    `verdicts`: how many candidates besides its own steps a chain carries; none if it is `brief`. `drill`: the
    share of rows that are no chains but hard calculations, one after the other.
    """

    tokenizer: Tokenizer
    tokens: int
    seed: int
    verdicts: int = 0
    brief: bool = False
    samples: Candidates | None = None
    drill: float = 0.0

    def batches(self, lengths: tuple[int, int], number: int) -> list[Batch]:
        """A few batches of problems of similar length; the same for the same number."""
        rng = random.Random(f"batches {self.seed} {number}")
        source = problems(rng.getrandbits(60), "train", lengths)
        drawn = [self._row(rng, source) for _ in range(self.tokens // 24)]
        rows = sorted(drawn, key=lambda row: -len(row.ids))  # what is left for the last batch is then short
        made: list[list[_Row]] = [[]]
        for row in rows:
            if made[-1] and (len(made[-1]) + 1) * len(made[-1][0].ids) > self.tokens:
                made.append([])
            made[-1].append(row)
        rng.shuffle(made)
        return [batch(rows) for rows in made]

    def _row(self, rng: random.Random, source: Iterator[Problem]) -> _Row:
        if rng.random() < self.drill:
            return drill(self.tokenizer, rng)
        drawn: Sequence[tuple[int, str]] = ()
        if self.samples and self.verdicts and rng.random() < 0.6:
            problem, drawn = rng.choice(self.samples)
        else:
            problem = next(source)
        asked = opened(problem.text + (f"\n\n{INSTRUCTION}" if rng.random() < 0.1 else ""))
        row = chain(self.tokenizer, asked, problem, brief=self.brief)
        if not self.verdicts:
            return row
        ends, steps = step_ends(self.tokenizer, asked, problem), problem.steps
        judge, right, wrong = (encode(self.tokenizer, text)[0] for text in (INLINE_JUDGE, "9", "0"))
        for end in ends[1:]:
            hang(row, end, [judge], right)
        candidates = list(drawn)
        while len(candidates) < self.verdicts:
            index = rng.randrange(len(steps))
            candidates.append((index, corrupted(rng, problem, index)))
        for index, text in candidates:
            good = problem.right(steps[:index], text)
            hang(row, ends[index], [*encode(self.tokenizer, text), judge], right if good else wrong)
        return row


def chain(tokenizer: Tokenizer, prompt: str, problem: Problem, *, brief: bool = False) -> _Row:
    """The right solution, in which all is to be learned but the prompt."""
    asked = list(encode(tokenizer, prompt))
    written = list(encode(tokenizer, "".join(problem.chain(brief=brief)) + reply(problem.answer) + TURN_END))
    ids = asked + written
    targets = [-100] * (len(asked) - 1) + written + [-100]
    looked_up = [False] * len(ids)
    names = _names(tokenizer, problem)
    numbers = _numbers(tokenizer)
    results = {encode(tokenizer, mark)[0] for mark in (" =>", " So")}  # a result is not looked up
    for at in range(len(asked), len(ids) - 1):
        looked_up[at] = ids[at] in names and ids[at + 1] in numbers and ids[at - 1] not in results
    return _Row(
        ids, list(range(len(ids))), targets, [False] * len(ids), looked_up, [CHAIN] * len(ids), [0] * len(ids)
    )


def drill(tokenizer: Tokenizer, rng: random.Random) -> _Row:
    """Facts without a problem; only what follows an equals sign is to be learned."""
    ids = encode(tokenizer, "".join(fact(rng) for _ in range(_FACTS)))
    equal = encode(tokenizer, " =")[0]
    targets = [after if at == equal else -100 for at, after in itertools.pairwise(ids)] + [-100]
    none = [False] * len(ids)
    return _Row(list(ids), list(range(len(ids))), targets, none, [*none], [CHAIN] * len(ids), [0] * len(ids))


def _names(tokenizer: Tokenizer, problem: Problem) -> frozenset[int]:
    names = (*problem.given, *(quantity.name for quantity in problem.quantities))
    return frozenset(encode(tokenizer, f" {name}")[0] for name in names)


@cache
def _numbers(tokenizer: Tokenizer) -> frozenset[int]:
    return frozenset(encode(tokenizer, f" {number}")[0] for number in range(100))


def step_ends(tokenizer: Tokenizer, prompt: str, problem: Problem, *, brief: bool = False) -> list[int]:
    """How many tokens of the chain stand before each step; one more at the end of the last step."""
    ends = [len(encode(tokenizer, prompt))]
    for step in problem.chain(brief=brief):
        ends.append(ends[-1] + len(encode(tokenizer, step)))
    return ends


def hang(row: _Row, at: int, ids: Sequence[int], verdict: int) -> None:
    """Hang a branch on the first `at` tokens of the chain, with a verdict to be learned at its last token."""
    number = max(row.branch) + 1
    row.ids += ids
    row.positions += range(at, at + len(ids))
    row.targets += [-100] * (len(ids) - 1) + [verdict]
    row.judged += [False] * (len(ids) - 1) + [True]
    row.looked_up += [False] * len(ids)
    row.branch += [number] * len(ids)
    row.seen += [at] * len(ids)


def batch(rows: Sequence[_Row]) -> Batch:
    """Rows side by side, padded to the longest."""
    length = max(len(row.ids) for row in rows)

    def padded(name: str, fill: int) -> Tensor:
        return torch.tensor([(v := getattr(row, name)) + [fill] * (length - len(v)) for row in rows])

    branch, seen = padded("branch", PADDING), padded("seen", 0)
    place = torch.arange(length)
    own = (branch[:, :, None] == branch[:, None, :]) & (place[:, None] >= place[None, :])
    of_chain = (branch[:, None, :] == CHAIN) & (place[None, None, :] < seen[:, :, None])
    return Batch(
        ids=padded("ids", 0),
        positions=padded("positions", 0),
        targets=padded("targets", -100),
        judged=padded("judged", 0).bool(),
        looked_up=padded("looked_up", 0).bool(),
        mask=(own | of_chain)[:, None],
    )
