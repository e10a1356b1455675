"""What a second thread brings the base model, and what it costs when another model has one too.

    python -m benchmarks.threads

Calls as the method makes them of the base model, with the chain in its cache: writing a step, scoring a
draft. Medians of wall time, so the machine must be idle. Without what the embedded engine sets for OpenMP:

    OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=300000 python -m benchmarks.threads
"""

import argparse
import asyncio
import json
import platform
import statistics
import time
from contextlib import AsyncExitStack

from benchmarks.measuring import processor
from specreason import EngineSettings, Settings
from specreason.engines import embedded
from specreason.engines.protocol import Engine, Prompt, Sampling, Segment
from specreason.models import cache
from specreason.models.pair_settings import resolve

CHAIN, STEP = 150, 32  # tokens
LINE = "3) +7 with 12 gives 19\n\n"
LOADED = {
    "1": (1,),
    "2": (2,),
    "2, beside another with 2": (2, 2),
}  # threads of each engine; the first is timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pair", default="pocket")
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    base = resolve(Settings(pair=arguments.pair)).base
    print(f"machine: {processor()}, Python {platform.python_version()}\n{base.model}")
    print(f"\n| threads | write {STEP} tokens, ms | score {STEP} tokens, ms | score over write |")
    print("| --- | --- | --- | --- |", flush=True)
    told: dict[str, dict[str, float]] = {}
    for label, threads in LOADED.items():
        write, score = asyncio.run(measured(base, threads, arguments.repeats))
        told[label] = {"write_ms": round(write * 1000, 1), "score_ms": round(score * 1000, 1)}
        print(f"| {label} | {write * 1000:.1f} | {score * 1000:.1f} | {score / write:.2f} |", flush=True)
    print("RESULT", json.dumps(told))


async def measured(settings: EngineSettings, threads: tuple[int, ...], repeats: int) -> tuple[float, float]:
    """Median seconds to write and to score a step, on the first of engines with so many threads each."""
    weights, engines = cache.require(settings.model), list[Engine]()
    async with AsyncExitStack() as stack:
        for count in threads:
            alike = settings.model_copy(update={"threads": count})
            engine = await embedded.load("base", weights, settings.model, alike)
            stack.push_async_callback(engine.aclose)
            engines.append(engine)
        ids = (await engines[0].tokenize(LINE * CHAIN)).ids or ()
        chain, firsts = Prompt().plus(Segment("", ids[:CHAIN])), sorted(set(ids))
        for engine in engines[1:]:  # its threads start with its first work
            await write(engine, chain)
        writing, scoring = list[float](), list[float]()
        for number in range(1 + repeats):
            draft = chain.plus(Segment("", (firsts[number % len(firsts)], *ids[: STEP - 1])))
            begun = time.perf_counter()
            await write(engines[0], chain)
            written = time.perf_counter()
            await engines[0].next_token_logprobs(draft, session="0")
            writing.append(written - begun)
            scoring.append(time.perf_counter() - written)
    return statistics.median(writing[1:]), statistics.median(scoring[1:])


async def write(engine: Engine, chain: Prompt) -> None:
    async for _piece in engine.generate(chain, sampling=Sampling(), max_tokens=STEP, session="0"):
        pass


if __name__ == "__main__":
    main()
