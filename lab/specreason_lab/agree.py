"""Whether an engine that loads the exported file writes what the model writes in PyTorch."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer

from specreason.config import EngineSettings
from specreason.engines.opening import open_engine
from specreason.engines.protocol import Engine, Prompt, Sampling, Segment
from specreason_lab.model import Llama, continued
from specreason_lab.problems import problems
from specreason_lab.tokenizer import TURN_END, encode, opened

TOKENS = 60


async def agreement(model: Llama, tokenizer: Tokenizer, file: Path, count: int = 100) -> list[bool]:
    """For each of `count` test problems: whether `TOKENS` greedy tokens are the same in llama.cpp."""
    sample = list(islice(problems(9, "test"), count))
    prompts = [list(encode(tokenizer, opened(problem.text))) for problem in sample]
    stop = frozenset(encode(tokenizer, TURN_END))
    expected = continued(model, prompts, stop, TOKENS, 0.0, 0)
    engine = await open_engine("base", EngineSettings(model=str(file), context=1024, threads=1))
    try:
        same: list[bool] = []
        for prompt, wanted in zip(prompts, expected, strict=True):
            text = tokenizer.decode(prompt, skip_special_tokens=False)
            assert (await engine.tokenize(text, control=True)).ids == tuple(prompt)
            same.append(_unended(await _written(engine, prompt), stop) == _unended(wanted, stop))
        return same
    finally:
        await engine.aclose()


async def _written(engine: Engine, prompt: Sequence[int]) -> list[int]:
    call = engine.generate(
        Prompt().plus(Segment("", tuple(prompt))), sampling=Sampling(temperature=0), max_tokens=TOKENS
    )
    return [i async for piece in call for i in piece.ids or ()]


def _unended(ids: Sequence[int], stop: frozenset[int]) -> list[int]:
    """Without the token that ends the turn, which not every engine tells."""
    return [i for i in ids if i not in stop]
