"""Flash or plain attention in the embedded engine: what the base model's calls take on this machine.

    python -m benchmarks.embedded --repeats 30

Each call is what a run of the method asks of the base model: writing a step, scoring drafts of the next one.
The chain before it is in the cache, the draft is new each time. The two engines take turns call by call.
Times are medians of the process's processor time, client included, so that other work on the machine counts
little. With the one thread that the pocket pair has that is the time on an idle machine; with more it is not.
"""

import argparse
import asyncio
import json
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from specreason_lab.problems import GOING_ON

from benchmarks.measuring import processor
from specreason import EngineSettings, Settings
from specreason.engines import embedded
from specreason.engines.protocol import Engine, Prompt, Sampling, Segment
from specreason.models import cache
from specreason.models.pair_settings import resolve

WRITTEN, STEP, DRAFTS = 33, 33, 4  # tokens, tokens, drafts of one step that are scored at the same time
LINE = f"{GOING_ON}\n2) *7 +13 with 96 => 72 gives 85\n\n"
KINDS = {"flash": True, "plain": False}
Call = Callable[[Engine, int], Awaitable[None]]  # the number makes a draft that no cache knows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pair", default="pocket")
    parser.add_argument(
        "--model", default="", help="weights of the catalogue; the pair's base model if empty"
    )
    parser.add_argument("--chains", type=int, nargs="+", default=[150, 500], help="tokens in the cache")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--threads", type=int, default=None, help="those of the pair if not set")
    arguments = parser.parse_args()
    base = resolve(Settings(pair=arguments.pair)).base
    base = base.model_copy(
        update={
            "model": arguments.model or base.model,
            "threads": arguments.threads or base.threads,
            "parallel": DRAFTS,
        }
    )
    print(f"machine: {processor()}, Python {platform.python_version()}")
    print(f"{base.model}, threads: {base.threads or embedded.physical_cores()}", flush=True)
    told = asyncio.run(measured(base, arguments.chains, arguments.repeats))
    print("RESULT", json.dumps({"flash_over_plain": told}))


async def measured(settings: EngineSettings, chains: list[int], repeats: int) -> dict[str, dict[str, float]]:
    """Time with flash attention over time without, by tokens in the cache and by call."""
    weights, told = cache.require(settings.model), dict[str, dict[str, float]]()
    async with AsyncExitStack() as stack:
        engines: dict[str, Engine] = {}
        for kind, flash in KINDS.items():
            engines[kind] = await embedded.load("base", weights, settings.model, settings, flash=flash)
            stack.push_async_callback(engines[kind].aclose)
        print(f"\n| chain | call | {' | '.join(f'{kind} ms' for kind in KINDS)} | flash over plain |")
        print("| --- | --- | --- | --- | --- |")
        for tokens in chains:
            calls = await calls_after(engines["plain"], tokens)
            told[str(tokens)] = {}
            for label, call in calls.items():
                seconds = await in_turn(engines, call, repeats)
                ratio = told[str(tokens)][label] = round(seconds["flash"] / seconds["plain"], 3)
                times = " | ".join(f"{seconds[kind] * 1000:.2f}" for kind in KINDS)
                print(f"| {tokens} | {label} | {times} | {ratio:.2f} |", flush=True)
    return told


async def calls_after(engine: Engine, tokens: int) -> dict[str, Call]:
    """The calls that are measured, by what they do, after a chain of so many tokens."""
    ids = (await engine.tokenize(LINE * tokens)).ids or ()
    chain, firsts = Prompt().plus(Segment("", ids[:tokens])), sorted(set(ids))

    def draft(number: int) -> Prompt:
        return chain.plus(Segment("", (firsts[number % len(firsts)], *ids[: STEP - 1])))

    async def write(engine: Engine, _: int) -> None:
        call = engine.generate(chain, sampling=Sampling(), max_tokens=WRITTEN, session="0")
        async for _piece in call:
            pass

    async def score(engine: Engine, number: int) -> None:
        await engine.next_token_logprobs(draft(number), session="0")

    async def score_together(engine: Engine, number: int) -> None:
        drafts = [draft(DRAFTS * number + k) for k in range(DRAFTS)]
        await asyncio.gather(
            *(engine.next_token_logprobs(one, session=str(k)) for k, one in enumerate(drafts))
        )

    return {
        f"write {WRITTEN} tokens": write,
        f"score a step of {STEP}": score,
        f"score {DRAFTS} of them": score_together,
    }


async def in_turn(engines: Mapping[str, Engine], call: Call, repeats: int) -> dict[str, float]:
    """Median seconds (of processor time) of a call on each engine."""
    seconds: dict[str, list[float]] = {kind: [] for kind in engines}
    for number in range(1 + repeats):  # the first one fills the caches
        # Who goes first changes: what an engine does after its call counts for the one after it.
        for kind in list(engines)[:: -1 if number % 2 else 1]:
            begun = time.process_time()
            await call(engines[kind], number)
            seconds[kind].append(time.process_time() - begun)
    return {kind: statistics.median(times[1:]) for kind, times in seconds.items()}


if __name__ == "__main__":
    main()
