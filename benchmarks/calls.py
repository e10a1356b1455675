"""What the method's calls of the base model take on this machine: the embedded engine in several set-ups.

    python -m benchmarks.calls threads     # one thread or two, alone and beside another model that has two
    python -m benchmarks.calls attention   # flash or plain attention

Each call is what a run asks of the base model: writing a step, scoring drafts of the next one. The chain
before it is in the cache, the draft is new each time. Medians: of wall time for threads, so the machine must
be idle; of the process's processor time for attention, so that other work on the machine counts little.
Without what the embedded engine sets for OpenMP:

    OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=300000 python -m benchmarks.calls threads
"""

import argparse
import asyncio
import json
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from specreason_lab.problems import GOING_ON

from benchmarks.measuring import processor
from specreason import EngineSettings, Settings
from specreason.engines import llama_cpp
from specreason.engines.protocol import Engine, Prompt, Sampling, Segment
from specreason.models import cache
from specreason.models.pair_settings import resolve

STEP, DRAFTS = 33, 4  # tokens, drafts of one step that are scored at the same time
LINE = f"{GOING_ON}\n2) *7 +13 with 96 => 72 gives 85\n\n"
SetUp = tuple[int | None, bool | None, int]
"""Threads, flash attention (None: as the engine chooses), other engines of the same kind beside it."""
# Those of one group are loaded together and take turns call by call.
GROUPS: Mapping[str, Sequence[Mapping[str, SetUp]]] = {
    "threads": [
        {"1 thread": (1, None, 0)},
        {"2 threads": (2, None, 0)},
        {"2, beside another with 2": (2, None, 1)},
    ],
    "attention": [{"flash": (None, True, 0), "plain": (None, False, 0)}],
}
CLOCKS = {"threads": time.perf_counter, "attention": time.process_time}
Call = Callable[[Engine, int], Awaitable[object]]  # the number makes a draft that no cache knows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("compare", choices=list(GROUPS))
    parser.add_argument("--pair", default="pocket")
    parser.add_argument("--chains", type=int, nargs="+", default=[150, 500], help="tokens in the cache")
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    base = resolve(Settings(pair=arguments.pair)).base.model_copy(update={"parallel": DRAFTS})
    print(f"machine: {processor()}, Python {platform.python_version()}\n{base.model}")
    print("\n| set-up | chain | call | ms | over the first |\n| --- | --- | --- | --- | --- |", flush=True)
    ms: dict[str, dict[str, float]] = {}
    for group in GROUPS[arguments.compare]:
        ms |= asyncio.run(
            measured(base, group, arguments.chains, arguments.repeats, CLOCKS[arguments.compare])
        )
        first = next(iter(ms.values()))
        for label in group:
            for call, took in ms[label].items():
                print(f"| {label} | {call} | {took:.2f} | {took / first[call]:.2f} |", flush=True)
    print("RESULT", json.dumps(ms))


async def measured(
    base: EngineSettings,
    group: Mapping[str, SetUp],
    chains: Sequence[int],
    repeats: int,
    clock: Callable[[], float],
) -> dict[str, dict[str, float]]:
    """Median milliseconds, by set-up and by chain and call."""
    weights, engines = cache.require(base.model), dict[str, Engine]()
    seconds: dict[str, dict[str, list[float]]] = {label: {} for label in group}
    async with AsyncExitStack() as stack:
        for label, (threads, flash, others) in group.items():
            settings = base.model_copy(update={"threads": threads or base.threads})
            for number in range(others, -1, -1):  # the one that is timed comes last
                engine = await llama_cpp.load("base", weights, base.model, settings, flash=flash)
                stack.push_async_callback(engine.aclose)
                engines[label] = engine
                if number:  # its threads start with its first work
                    await written(engine, Prompt().plus(await engine.tokenize(LINE)))
        for tokens in chains:
            for name, call in (await calls_after(next(iter(engines.values())), tokens)).items():
                for number in range(1 + repeats):
                    # Who goes first changes: what an engine does after its call counts for the one after it.
                    for label in list(engines)[:: -1 if number % 2 else 1]:
                        started = clock()
                        await call(engines[label], number)
                        took = seconds[label].setdefault(f"{tokens} | {name}", [])
                        took.append(clock() - started)
    # The first one fills the caches.
    return {
        label: {call: round(1000 * statistics.median(took[1:]), 2) for call, took in by_call.items()}
        for label, by_call in seconds.items()
    }


async def calls_after(engine: Engine, tokens: int) -> dict[str, Call]:
    """The calls that are measured, by what they do, after a chain of so many tokens."""
    ids = (await engine.tokenize(LINE * tokens)).ids or ()
    chain, firsts = Prompt().plus(Segment("", ids[:tokens])), sorted(set(ids))

    async def scored(engine: Engine, number: int, drafts: int) -> None:
        starts = [firsts[(drafts * number + k) % len(firsts)] for k in range(drafts)]
        prompts = [chain.plus(Segment("", (start, *ids[: STEP - 1]))) for start in starts]
        await asyncio.gather(
            *(engine.next_token_logprobs(one, session=str(k)) for k, one in enumerate(prompts))
        )

    return {
        f"write {STEP} tokens": lambda engine, _: written(engine, chain),
        f"score a step of {STEP}": lambda engine, number: scored(engine, number, 1),
        f"score {DRAFTS} of them": lambda engine, number: scored(engine, number, DRAFTS),
    }


async def written(engine: Engine, after: Prompt) -> None:
    async for _piece in engine.generate(after, sampling=Sampling(), max_tokens=STEP, session="0"):
        pass


if __name__ == "__main__":
    main()
