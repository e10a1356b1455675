"""How well a model reasons and judges, measured in PyTorch while it is trained."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer

from specreason_lab.batches import Batch, batch, chain, step_ends
from specreason_lab.model import Llama, continued
from specreason_lab.problems import Problem, stated_answer
from specreason_lab.tokenizer import TURN_END, encode, opened


def accuracy(
    model: Llama, tokenizer: Tokenizer, sample: Sequence[Problem], temperature: float = 0.0, rows: int = 50
) -> float:
    """Share of the problems whose answer, written by the model alone, is right."""
    right = 0
    stop = frozenset(encode(tokenizer, TURN_END))
    model.eval()
    for start in range(0, len(sample), rows):
        asked = sample[start : start + rows]
        longest = max(step_ends(tokenizer, "", problem)[-1] for problem in asked) + 24
        prompts = [encode(tokenizer, opened(problem.text)) for problem in asked]
        replies = continued(model, prompts, stop, longest, temperature, seed=start)
        texts = [tokenizer.decode(ids, skip_special_tokens=False) for ids in replies]
        right += sum(stated_answer(t) == p.answer for t, p in zip(texts, asked, strict=True))
    return round(right / len(sample), 4)


@torch.inference_mode()
def result_accuracy(model: Llama, tokenizer: Tokenizer, sample: Sequence[Problem]) -> dict[str, float]:
    """By operation: steps whose results are right when all before is given; `used`: those set up right."""
    hits: dict[str, list[bool]] = defaultdict(list)
    results = {encode(tokenizer, mark)[0] for mark in (" =>", " gives")}
    model.eval()
    for problem in sample:
        prompt = opened(problem.text)
        row = batch([chain(tokenizer, prompt, problem)])
        best = model(row.ids, row.positions, row.mask)[0].argmax(-1)
        ids = row.ids[0].tolist()
        ends = step_ends(tokenizer, prompt, problem)
        for line, start, end in zip(problem.lines, ends, ends[1:], strict=False):
            right = [int(best[place - 1]) == ids[place] for place in range(start, end)]
            formula = next(place for place in range(start, end) if ids[place] in results) - start
            hits["used"].append(all(right[:formula]))
            hits[line.op].append(all(right[formula:]))
    return {name: round(sum(solved) / len(solved), 3) for name, solved in sorted(hits.items())}


@torch.inference_mode()
def verdicts(model: Llama, batches: Sequence[Batch], nine: int) -> list[tuple[float, bool]]:
    """What the judge says of each branch: its probability of a 9, and whether the step is right."""
    rows: list[tuple[float, bool]] = []
    model.eval()
    for made in batches:
        logits = model(made.ids, made.positions, made.mask, wanted=made.judged)
        sure = logits.float().softmax(-1)[:, nine].tolist()
        rows += zip(sure, (made.targets[made.judged] == nine).tolist(), strict=True)
    return rows
