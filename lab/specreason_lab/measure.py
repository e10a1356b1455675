"""How well a model reasons and judges, measured in PyTorch while it is trained."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer

from specreason_lab.batches import batch, chain, step_ends
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
def result_accuracy(
    model: Llama, tokenizer: Tokenizer, sample: Sequence[Problem], *, brief: bool = False
) -> dict[str, float]:
    """By operation: share of the results that are right when all before them is given; and of used values."""
    hits: dict[str, list[bool]] = defaultdict(list)
    numbers = {encode(tokenizer, f" {number}")[0] for number in range(100)}
    equal, split = (encode(tokenizer, mark)[0] for mark in (" =", " =>" if brief else " Now"))
    model.eval()
    for problem in sample:
        prompt = opened(problem.text)
        row = batch([chain(tokenizer, prompt, problem, brief=brief)])
        best = model(row.ids, row.positions, row.mask)[0].argmax(-1)
        ids = row.ids[0].tolist()
        ends = step_ends(tokenizer, prompt, problem, brief=brief)
        for quantity, start, end in zip(problem.quantities, ends, ends[1:], strict=False):
            at = [place for place in range(start + 1, end) if ids[place] in numbers]
            half = ids.index(split, start)
            result = at[-1] if brief else max(p for p in range(start, end) if ids[p] == equal) + 1
            hits["used"] += [int(best[place - 1]) == ids[place] for place in at if place < half]
            hits[quantity.op].append(int(best[result - 1]) == ids[result])
    return {name: round(sum(told) / len(told), 3) for name, told in sorted(hits.items())}
