"""The embedded engine (llama.cpp's HTTP server, in the wheel) against llama-cpp-python's functions.

    CMAKE_BUILD_PARALLEL_LEVEL=2 pip install llama-cpp-python==0.3.36     # builds it for this machine
    python -m benchmarks.in_process --problems 30

Both load the same weights, with the same threads and cache. What is timed is what the sequential loop asks
of models, one thing after the other: drafting a step, scoring it with the judge's question, scoring four
drafts of one step, rewriting. A whole problem is STEPS of those, on the problem's own prompt; which drafts
stand is drawn by a seed, so that both do the same work. The two take turns, problem by problem.

Through llama-cpp-python tokens go straight into `llama_decode`, as fast as Python can ask for it: that is the
least that an engine of our own could need.
"""

import argparse
import asyncio
import ctypes
import importlib
import json
import platform
import random
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib import metadata
from itertools import islice
from typing import Any, Protocol

import numpy as np
from specreason_lab.problems import problems

from benchmarks.measuring import processor
from benchmarks.pocket import SEED
from specreason import EngineSettings, Settings
from specreason.engines import llama_cpp
from specreason.engines.protocol import Engine, Prompt, Sampling, Segment
from specreason.models import cache
from specreason.models.pair_settings import resolve
from specreason.reasoning.prompts import INLINE_JUDGE

LONG, STEPS, DRAFTS = 33, 5, 4  # tokens of a step, steps of a problem, drafts that are scored together
STANDS = 0.75  # share of drafts
CALLS = ("draft", "score", f"score {DRAFTS}", "rewrite")
Ids = tuple[int, ...]


class Model(Protocol):
    """What the loop asks of a model; tokens in, tokens out."""

    async def write(self, after: Ids, tokens: int) -> Ids:
        """That many tokens, greedily."""
        ...

    async def score(self, prompts: Sequence[Ids]) -> None:
        """The distribution after each of them, in one batch; what they share is in the cache."""
        ...


@dataclass
class Served:
    """A model behind the embedded engine."""

    engine: Engine

    async def write(self, after: Ids, tokens: int) -> Ids:
        """See `Model.write`."""
        written: list[int] = []
        call = self.engine.generate(_prompt(after), sampling=Sampling(), max_tokens=tokens, session="0")
        async for piece in call:
            written.extend(piece.ids or ())
        return tuple(written)

    async def score(self, prompts: Sequence[Ids]) -> None:
        """See `Model.score`. In the one slot that holds the chain, as a run does it: one after the other."""
        await asyncio.gather(*(self.engine.next_token_logprobs(_prompt(p), session="0") for p in prompts))


@dataclass
class InProcess:
    """A model behind the functions of llama-cpp-python: one context, a sequence for each prompt."""

    library: Any
    context: Any
    vocabulary: Any
    batch: Any
    held: list[list[int]] = field(default_factory=lambda: [[] for _ in range(DRAFTS)])  # tokens by sequence

    async def write(self, after: Ids, tokens: int) -> Ids:
        """See `Model.write`."""
        self._decode([(0, after)])
        written: list[int] = []
        while True:
            logits = self.library.llama_get_logits_ith(self.context, -1)
            written.append(_likeliest(logits, self.library.llama_vocab_n_tokens(self.vocabulary)))
            if len(written) == tokens:
                return tuple(written)
            self.held[0].append(written[-1])
            self._read([(0, len(self.held[0]) - 1)])

    async def score(self, prompts: Sequence[Ids]) -> None:
        """See `Model.score`."""
        memory = self.library.llama_get_memory(self.context)
        for sequence in range(1, len(prompts)):  # the prefix is computed once
            self.library.llama_memory_seq_rm(memory, sequence, -1, -1)
            self.library.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
            self.held[sequence] = list(self.held[0])
        self._decode(list(enumerate(prompts)))
        count = self.library.llama_vocab_n_tokens(self.vocabulary)
        for number in range(len(prompts)):
            _likeliest(self.library.llama_get_logits_ith(self.context, self._last[number]), count)

    def _decode(self, wanted: list[tuple[int, Ids]]) -> None:
        """Read what the cache does not hold of each sequence's tokens; the last one's logits are kept."""
        memory, fresh = self.library.llama_get_memory(self.context), list[tuple[int, int]]()
        for sequence, tokens in wanted:
            held = self.held[sequence]
            unlike = (k for k, (a, b) in enumerate(zip(held, tokens, strict=False)) if a != b)
            kept = min(next(unlike, len(held)), len(tokens) - 1)
            if kept < len(held):
                self.library.llama_memory_seq_rm(memory, sequence, kept, -1)
            self.held[sequence] = list(tokens)
            fresh.append((sequence, kept))
        self._read(fresh)

    def _read(self, fresh: list[tuple[int, int]]) -> None:
        """One batch: of each sequence, what it holds from a position on."""
        at, batch = 0, self.batch
        self._last: list[int] = []
        for sequence, kept in fresh:
            held = self.held[sequence]
            for position in range(kept, len(held)):
                batch.token[at] = held[position]
                batch.pos[at] = position
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = sequence
                batch.logits[at] = position == len(held) - 1
                at += 1
            self._last.append(at - 1)
        batch.n_tokens = at
        if self.library.llama_decode(self.context, batch):
            raise RuntimeError("llama_decode failed")


def _likeliest(logits: Any, count: int) -> int:
    """The place of the greatest of so many floats."""
    array = np.ctypeslib.as_array(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float)), shape=(count,))
    return int(array.argmax())


def _prompt(ids: Ids) -> Prompt:
    return Prompt().plus(Segment("", ids))


def in_process(settings: EngineSettings) -> InProcess:
    """Load a model through llama-cpp-python, with the threads and the cache that the engine would have."""
    library: Any = importlib.import_module("llama_cpp")
    library.llama_log_set(_unsaid, None)
    library.llama_backend_init()
    asked = library.llama_model_default_params()
    asked.n_gpu_layers = 0
    model = library.llama_model_load_from_file(str(cache.require(settings.model)).encode(), asked)
    how = library.llama_context_default_params()
    how.n_ctx = (settings.context or llama_cpp.DEFAULT_CONTEXT) * DRAFTS
    how.n_seq_max = DRAFTS
    how.kv_unified = True
    how.n_threads = how.n_threads_batch = settings.threads or llama_cpp.physical_cores()
    context = library.llama_init_from_model(model, how)
    return InProcess(
        library, context, library.llama_model_get_vocab(model), library.llama_batch_init(2048, 0, 1)
    )


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _unsaid(_level: int, _text: bytes, _data: object) -> None:
    """Takes what llama.cpp would print."""


@dataclass(frozen=True)
class Pair:
    """Both models in one way of running them."""

    base: Model
    small: Model


async def whole(pair: Pair, prompt: Ids, question: Ids, seed: int) -> None:
    """One problem: the sequential loop's calls."""
    rng, chain = random.Random(seed), prompt
    for _ in range(STEPS):
        step = await pair.small.write(chain, LONG)
        await pair.base.score([(*chain, *step, *question)])
        if rng.random() > STANDS:
            step = await pair.base.write(chain, LONG)
        chain = (*chain, *step)


async def timed_calls(pair: Pair, prompt: Ids, question: Ids, number: int) -> dict[str, float]:
    """Seconds of each call after a chain that is in the cache."""
    rng, seconds = random.Random(number), dict[str, float]()

    def step() -> Ids:
        return tuple(rng.sample(prompt, min(LONG, len(prompt))) + [prompt[-1]] * max(0, LONG - len(prompt)))

    async def timed(name: str, call: Any) -> None:
        started = time.perf_counter()
        await call
        seconds[name] = time.perf_counter() - started

    chain = prompt + step() + step()
    for model in (pair.small, pair.base):
        await model.score([chain])
    await timed("draft", pair.small.write(chain, LONG))
    await timed("score", pair.base.score([chain + step() + question]))
    await pair.base.score([chain + step()[:1]])
    await timed(f"score {DRAFTS}", pair.base.score([chain + step() + question for _ in range(DRAFTS)]))
    await pair.base.score([chain])
    await timed("rewrite", pair.base.write(chain, LONG))
    return seconds


async def measured(settings: Settings, count: int) -> dict[str, dict[str, float]]:
    """Median seconds by what was done and by engine."""
    roles = {"base": settings.base, "small": settings.small}
    async with AsyncExitStack() as stack:
        engines: dict[str, Engine] = {}
        for role, one in roles.items():
            asked = one.model_copy(update={"parallel": DRAFTS if role == "base" else 1})
            engines[role] = await llama_cpp.load(role, cache.require(one.model), one.model, asked)
            stack.push_async_callback(engines[role].aclose)
        pairs = {
            "http": Pair(Served(engines["base"]), Served(engines["small"])),
            "functions": Pair(*(in_process(roles[role]) for role in ("base", "small"))),
        }
        question = (await engines["base"].tokenize(INLINE_JUDGE)).ids or ()
        seconds = {name: {kind: list[float]() for kind in pairs} for name in (*CALLS, "whole problem")}
        for number, problem in enumerate(islice(problems(SEED, "test"), count)):
            text = await engines["base"].apply_template([{"role": "user", "content": problem.text}])
            prompt = (await engines["base"].tokenize(text, control=True)).ids or ()
            for kind in random.Random(number).sample(list(pairs), len(pairs)):
                started = time.perf_counter()
                await whole(pairs[kind], prompt, question, number)
                seconds["whole problem"][kind].append(time.perf_counter() - started)
                for name, took in (await timed_calls(pairs[kind], prompt, question, number)).items():
                    seconds[name][kind].append(took)
        return {
            name: {kind: statistics.median(all_of) for kind, all_of in by_kind.items()}
            for name, by_kind in seconds.items()
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pair", default="pocket")
    parser.add_argument("--problems", type=int, default=30)
    arguments = parser.parse_args()
    settings = resolve(Settings(pair=arguments.pair))
    try:
        # Not imported here: OpenMP reads how threads are to wait when it is loaded, which the engine sets.
        version = metadata.version("llama-cpp-python")
    except metadata.PackageNotFoundError:
        parser.exit(2, "llama-cpp-python is not installed; the first lines of --help say how to build it\n")
    print(f"machine: {processor()}, Python {platform.python_version()}, llama-cpp-python {version}")
    rows = asyncio.run(measured(settings, arguments.problems))
    print("\n| what | over HTTP, ms | functions, ms | HTTP over functions |\n| --- | --- | --- | --- |")
    ratios: dict[str, float] = {}
    for name, ms in rows.items():
        ratios[name] = round(ms["http"] / ms["functions"], 3)
        print(f"| {name} | {ms['http'] * 1000:.2f} | {ms['functions'] * 1000:.2f} | {ratios[name]:.2f} |")
    print("RESULT", json.dumps({"http_over_functions": ratios}))


if __name__ == "__main__":
    main()
