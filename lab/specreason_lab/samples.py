"""Steps that a model writes by itself, right and wrong: what its judge will meet."""

import json
import random
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer

from specreason_lab.batches import Candidates
from specreason_lab.model import Llama, continued
from specreason_lab.problems import Problem, problems
from specreason_lab.tokenizer import THINK_CLOSE, encode, opened

STREAM = 77  # the seed of the problems whose steps are sampled
PER_PROBLEM = 3
_TRIED = 5  # steps of a problem that are sampled
_ROWS = 200
_MOST_TOKENS = 64  # of a step


def write_samples(model: Llama, tokenizer: Tokenizer, path: Path, count: int) -> None:
    """Sample steps of `count` training problems at temperatures 0.6 to 1.2; one JSON array a line.

    Of each problem wrong steps are kept first, and right ones up to `PER_PROBLEM` in all.
    """
    source = problems(STREAM, "train")
    done = sum(1 for _ in path.open()) if path.exists() else 0
    for _ in islice(source, done):
        pass
    while done < count:
        group = list(islice(source, 40))
        kept = [drawn[:PER_PROBLEM] for drawn in _sampled(model, tokenizer, group, done)]
        with path.open("a") as lines:
            lines.writelines(json.dumps(drawn) + "\n" for drawn in kept)
        done += len(group)


def read_samples(path: Path) -> Candidates:
    """What `write_samples` wrote, with its problems."""
    lines = path.read_text().splitlines()
    kept = [[(index, text) for index, text in json.loads(line)] for line in lines]
    return list(zip(problems(STREAM, "train"), kept, strict=False))


def _sampled(
    model: Llama, tokenizer: Tokenizer, group: list[Problem], seed: int
) -> list[list[tuple[int, str]]]:
    """For each problem of the group, steps drawn after the right chain: wrong ones first."""
    stop = frozenset(encode(tokenizer, "\n\n"))
    rng = random.Random(seed)
    places = [
        (n, index)
        for n, problem in enumerate(group)
        for index in rng.sample(range(len(problem.steps)), min(_TRIED, len(problem.steps)))
    ]
    drawn: list[list[tuple[bool, int, str]]] = [[] for _ in group]
    for start in range(0, len(places), _ROWS):
        chosen = places[start : start + _ROWS]
        prompts = [
            encode(tokenizer, opened(group[n].text) + "".join(group[n].steps[:index])) for n, index in chosen
        ]
        temperature = rng.choice((0.6, 0.8, 1.0, 1.2))
        written = continued(model, prompts, stop, _MOST_TOKENS, temperature, seed + start)
        for (n, index), ids in zip(chosen, written, strict=True):
            text = tokenizer.decode(ids, skip_special_tokens=False)
            ended = text.endswith("\n\n") or THINK_CLOSE in text
            if ended:
                drawn[n].append((group[n].right(group[n].steps[:index], text), index, text))
    return [
        [(index, text) for _, index, text in sorted(steps, key=lambda item: (item[0], rng.random()))]
        for steps in drawn
    ]
