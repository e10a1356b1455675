"""Training batches: chains, with the judge's questions as branches of them.

A branch hangs on the first tokens of a chain: the judge's token alone, or a candidate step and that token.
It sees the chain up to there and itself, no other branch, and nothing in the chain sees a branch: so one pass
over one chain teaches all its steps and many verdicts, and every token stands in the context that it will
meet in use.

    chain    <think> 1) ... 2) ... 3) ... </think> The answer ...
                       |      |
    branches           |      +- 2) right wrong ... J -> 0
                       +- J -> 9      |     +- J -> 0
                                      +- J -> 9

The judge is also asked in the middle of a step, whether all is right so far: a verdict on a whole step
alone teaches hardly anything, since it does not say which of its tokens was wrong.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from tokenizers import Tokenizer
from torch import Tensor

from specreason.reasoning.prompts import INLINE_JUDGE, INSTRUCTION
from specreason_lab.problems import DRILLED, GOING_ON, MIX, Problem, corrupted, loose_step, problems, reply
from specreason_lab.tokenizer import TURN_END, encode, opened

CHAIN = 0
PADDING = UNTOLD = -1
_LOOSE = 16  # steps in a row of drill
_TAIL = 2  # tokens of a step, its result and what ends it, where the judge is asked after each
_CANDIDATES = 4  # of the small model's own steps, hung on a chain
_WRONG = 0.5  # share of wrong steps in a chain that is judged
# Problems with candidates for their steps, [(index, text)]: what the small model itself wrote there.
Candidates = Sequence[tuple[Problem, Sequence[tuple[int, str]]]]


@dataclass(frozen=True, slots=True)
class Batch:
    """`targets` is -100 where nothing is to be learned; `judged` marks the verdicts among them; `looked_up`
    marks the operands' values; `slipped` is 1 at a step's first wrong token, 0 where all is right
    up to there, -1 where that is not known.

    All but `mask` ([rows, 1, tokens, tokens]) are [rows, tokens].
    """

    ids: Tensor
    positions: Tensor
    targets: Tensor
    judged: Tensor
    looked_up: Tensor
    slipped: Tensor
    mask: Tensor


@dataclass(slots=True)
class _Row:
    ids: list[int]
    positions: list[int]
    targets: list[int]
    judged: list[bool]
    looked_up: list[bool]
    slipped: list[int]
    branch: list[int]  # CHAIN, or the number of the branch
    seen: list[int]  # how much of the chain a token of a branch sees
    parent: list[int]  # the branch that a verdict in its middle hangs on, PADDING without one
    parent_seen: list[int]  # up to which place in the row it sees that branch


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes batches of about `tokens` tokens.

    `judged`: with verdicts in chains; `drill`: the share of rows that are no chains but loose steps;
    `mix`: how often the families come; `operations`: those of loose steps.
    """

    tokenizer: Tokenizer
    tokens: int
    seed: int
    judged: bool = False
    samples: Candidates | None = None
    drill: float = 0.0
    mix: Sequence[int] = MIX
    operations: Sequence[str] = DRILLED

    def batches(self, lengths: tuple[int, int], number: int) -> list[Batch]:
        """A few batches of problems of similar length; the same for the same number."""
        rng = random.Random(f"batches {self.seed} {number}")
        source = problems(rng.getrandbits(60), "train", lengths, self.mix)
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
        tokenizer = self.tokenizer
        if rng.random() < self.drill:
            return loose_steps(tokenizer, rng, self.operations)
        kind = rng.random() if self.judged else 1.0
        if self.samples and kind < 0.4:
            problem, drawn = rng.choice(self.samples)
            return sampled_chain(tokenizer, rng, _asked(rng, problem), problem, drawn)
        problem = next(source)
        if kind < 0.6:
            return judged_chain(tokenizer, rng, _asked(rng, problem), problem)
        return chain(tokenizer, _asked(rng, problem), problem)


def _asked(rng: random.Random, problem: Problem) -> str:
    return opened(problem.text + (f"\n\n{INSTRUCTION}" if rng.random() < 0.1 else ""))


def chain(tokenizer: Tokenizer, prompt: str, problem: Problem) -> _Row:
    """The right solution, in which all is to be learned but the prompt."""
    asked = list(encode(tokenizer, prompt))
    written = list(encode(tokenizer, "".join(problem.steps) + reply(problem.answer) + TURN_END))
    ids = asked + written
    targets = [-100] * (len(asked) - 1) + written + [-100]
    newline = encode(tokenizer, "\n")[0]
    looked_up = [False] * len(ids)
    copying = False  # from a step's label to where its results begin
    for at in range(len(asked), len(ids) - 1):
        copying = ids[at - 1] == newline or (copying and ids[at + 1] not in _results(tokenizer))
        looked_up[at] = copying and targets[at] >= 0
    return _row(ids, targets, looked_up, [UNTOLD] * len(asked) + [0] * len(written))


def loose_steps(tokenizer: Tokenizer, rng: random.Random, operations: Sequence[str] = DRILLED) -> _Row:
    """Steps without a problem, right and miscalculated: results and verdicts are to be learned.

    Comparing what is stated with what one expects is learned here: in chains the signal is too thin.
    """
    ids: list[int] = []
    targets: list[int] = []
    slipped: list[int] = []
    verdicts: list[tuple[int, bool]] = []
    for _ in range(_LOOSE):
        written, right = (
            encode(tokenizer, text.removeprefix(f"{GOING_ON}\n")) for text in loose_step(rng, operations)
        )
        slip = _slip(written, right)
        verdicts += [(len(ids) + p + 1, p < slip) for p in _judged_places(written, slip)]
        formula = next(p for p, token in enumerate(written) if token in _results(tokenizer))
        results = range(formula, len(written) - 1)
        targets += [right[p + 1] if p in results and p < slip else -100 for p in range(len(written))]
        ids += written
        slipped += _slipped(len(written), slip)
    return _judged(tokenizer, ids, targets, slipped, verdicts)


def judged_chain(tokenizer: Tokenizer, rng: random.Random, prompt: str, problem: Problem) -> _Row:
    """A chain in which some steps are wrong, judged all along; what is right in it is learned too."""
    ids = list(encode(tokenizer, prompt))
    targets = [-100] * len(ids)
    slipped = [UNTOLD] * len(ids)
    verdicts: list[tuple[int, bool]] = []
    before: list[str] = []
    while (right := problem.expected(before)) is not None:
        step = corrupted(rng, problem, before) if rng.random() < _WRONG else right
        written, expected = encode(tokenizer, step), encode(tokenizer, right)
        slip = _slip(written, expected)
        start = len(ids)
        ids += written
        targets += [-100] * len(written)
        learned = expected[: slip + 1]  # the first slip's place too: what would be right there
        targets[start - 1 : start - 1 + len(learned)] = learned
        for place in _judged_places(written, slip):
            verdicts.append((start + place + 1, place < slip))
        slipped += _slipped(len(written), slip)
        before.append(step)
    return _judged(tokenizer, ids, targets, slipped, verdicts)


def sampled_chain(
    tokenizer: Tokenizer, rng: random.Random, prompt: str, problem: Problem, drawn: Sequence[tuple[int, str]]
) -> _Row:
    """The right solution, on which steps hang that the small model wrote there, with verdicts."""
    row = chain(tokenizer, prompt, problem)
    judge, right, wrong = _verdicts(tokenizer)
    ends, steps = step_ends(tokenizer, prompt, problem), problem.steps
    # Most of what the small model writes is right; more is to be learned from what is wrong.
    for index, text in sorted(drawn, key=lambda item: problem.right(steps[: item[0]], item[1]))[:_CANDIDATES]:
        ids = encode(tokenizer, text)
        slip = _slip(ids, encode(tokenizer, steps[index]))
        number = hang(row, ends[index], [*ids, judge], right if slip == len(ids) else wrong)
        row.slipped[-len(ids) - 1 :] = [*_slipped(len(ids), slip), UNTOLD]
        for place in _judged_places(ids, slip) - {len(ids) - 1}:
            ask(row, number, ends[index], place, judge, right if place < slip else wrong)
    return row


def _slip(written: Sequence[int], expected: Sequence[int]) -> int:
    """How many tokens are right, from the first on."""
    agree = [a == b for a, b in zip(written, expected, strict=False)]
    return agree.index(False) if False in agree else len(agree)


def _slipped(tokens: int, slip: int) -> list[int]:
    """See `Batch.slipped`, for one step."""
    return [int(place == slip) if place <= slip else UNTOLD for place in range(tokens)]


def _judged_places(ids: Sequence[int], slip: int) -> set[int]:
    """Both sides of the first slip, some places after it, and the step's end.

    A verdict far from the slip is learned slowly, place by place.
    """
    tail = range(max(0, len(ids) - _TAIL), len(ids))
    return ({slip - 1, slip, slip + 2, slip + 4} & set(range(len(ids)))) | set(tail)


def _judged(
    tokenizer: Tokenizer,
    ids: list[int],
    targets: list[int],
    slipped: list[int],
    verdicts: Sequence[tuple[int, bool]],
) -> _Row:
    """A row with the judge asked after its first so many tokens, and whether all is right there."""
    row = _row(ids, targets, [False] * len(ids), slipped)
    judge, right, wrong = _verdicts(tokenizer)
    for end, good in verdicts:
        hang(row, end, [judge], right if good else wrong)
    return row


@cache
def _verdicts(tokenizer: Tokenizer) -> tuple[int, int, int]:
    """The judge's question, and what it says of a right and of a wrong step."""
    judge, right, wrong = (encode(tokenizer, text)[0] for text in (INLINE_JUDGE, "9", "0"))
    return judge, right, wrong


def _row(ids: list[int], targets: list[int], looked_up: list[bool], slipped: list[int]) -> _Row:
    """A row without branches."""
    none, count = PADDING, len(ids)
    return _Row(
        ids,
        list(range(count)),
        targets,
        [False] * count,
        looked_up,
        slipped,
        [CHAIN] * count,
        [0] * count,
        [none] * count,
        [none] * count,
    )


@cache
def _results(tokenizer: Tokenizer) -> frozenset[int]:
    """The tokens that end a formula: after them its results are stated."""
    return frozenset(encode(tokenizer, mark)[0] for mark in (" =>", " gives"))


def step_ends(tokenizer: Tokenizer, prompt: str, problem: Problem) -> list[int]:
    """How many tokens of the chain stand before each step; one more at the end of the last step."""
    ends = [len(encode(tokenizer, prompt))]
    for step in problem.steps:
        ends.append(ends[-1] + len(encode(tokenizer, step)))
    return ends


def hang(row: _Row, at: int, ids: Sequence[int], verdict: int) -> int:
    """Hang a branch on the first `at` tokens of the chain, with a verdict to be learned at its last token.

    Returns the branch's number.
    """
    number = max(row.branch) + 1
    row.ids += ids
    row.positions += range(at, at + len(ids))
    row.targets += [-100] * (len(ids) - 1) + [verdict]
    row.judged += [False] * (len(ids) - 1) + [True]
    row.looked_up += [False] * len(ids)
    row.slipped += [UNTOLD] * len(ids)
    row.branch += [number] * len(ids)
    row.seen += [at] * len(ids)
    row.parent += [PADDING] * len(ids)
    row.parent_seen += [PADDING] * len(ids)
    return number


def ask(row: _Row, branch: int, at: int, place: int, judge: int, verdict: int) -> None:
    """Ask the judge after token `place` of a branch that hangs on the first `at` tokens of the chain."""
    start = row.branch.index(branch)
    hang(row, at, [judge], verdict)
    row.positions[-1] = at + place + 1
    row.parent[-1], row.parent_seen[-1] = branch, start + place


def batch(rows: Sequence[_Row]) -> Batch:
    """Rows side by side, padded to the longest."""
    length = max(len(row.ids) for row in rows)

    def padded(name: str, fill: int) -> Tensor:
        return torch.tensor([(v := getattr(row, name)) + [fill] * (length - len(v)) for row in rows])

    branch, seen = padded("branch", PADDING), padded("seen", 0)
    place = torch.arange(length)
    own = (branch[:, :, None] == branch[:, None, :]) & (place[:, None] >= place[None, :])
    of_chain = (branch[:, None, :] == CHAIN) & (place[None, None, :] < seen[:, :, None])
    parent, parent_seen = padded("parent", PADDING), padded("parent_seen", PADDING)
    of_parent = (branch[:, None, :] == parent[:, :, None]) & (place[None, None, :] <= parent_seen[:, :, None])
    of_parent &= parent[:, :, None] > CHAIN
    return Batch(
        ids=padded("ids", 0),
        positions=padded("positions", 0),
        targets=padded("targets", -100),
        judged=padded("judged", 0).bool(),
        looked_up=padded("looked_up", 0).bool(),
        slipped=padded("slipped", UNTOLD),
        mask=(own | of_chain | of_parent)[:, None],
    )
