"""Token-level speculation on this machine: the embedded base model's seconds a token, with and without.

    python -m benchmarks.decode --draft-tokens 3 8

One word problem, written greedily, each engine in turn, `--repeats` times.
"""

import argparse
import asyncio
import json
import platform
import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.measuring import processor
from specreason import Settings
from specreason.engines.opening import open_decoder, open_engine
from specreason.engines.protocol import Engine, Prompt, Sampling, Usage
from specreason.models.pair_settings import resolve

PROBLEM = Path(__file__).parents[1] / "examples" / "word_problem.txt"
TOKENS = 48


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pair", default="qwen-coder")
    parser.add_argument("--draft-tokens", type=int, nargs="+", default=[3, 8])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"machine: {processor()}, Python {platform.python_version()}; {TOKENS} tokens", flush=True)
    ratios = asyncio.run(measured(arguments.pair, arguments.draft_tokens, arguments.repeats))
    print("RESULT", json.dumps({"decode_over_base": ratios}))


async def measured(pair: str, depths: list[int], repeats: int) -> dict[str, float]:
    """Speed-up over the plain engine, by tokens drafted at a time."""
    settings = resolve(Settings(pair=pair))
    async with AsyncExitStack() as stack:
        engines: dict[str, Engine] = {"none": await open_engine("base", settings.base)}
        for depth in depths:
            base = settings.base.model_copy(update={"draft_tokens": depth})
            engines[str(depth)] = await open_decoder(settings.model_copy(update={"base": base}))
        for engine in engines.values():
            stack.push_async_callback(engine.aclose)
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        usage: dict[str, Usage] = {}
        for _ in range(1 + repeats):  # the first one fills the caches
            for name, engine in engines.items():
                took, usage[name] = await written(engine)
                seconds[name].append(took)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    print("\n| drafted at a time | ms a token | speed-up | of them came out |\n| --- | --- | --- | --- |")
    for name, median in medians.items():
        drafts, kept = usage[name].token_drafts, usage[name].token_drafts_kept or 0
        came_out = f"{kept / drafts:.0%}" if drafts else "-"
        print(f"| {name} | {median * 1000:.1f} | {medians['none'] / median:.2f} | {came_out} |")
    return {name: round(medians["none"] / median, 3) for name, median in medians.items() if name != "none"}


async def written(engine: Engine) -> tuple[float, Usage]:
    """Seconds a token, and what the engine counted."""
    prompt = Prompt().plus(await engine.tokenize(PROBLEM.read_text()))
    started = time.perf_counter()
    call = engine.generate(prompt, sampling=Sampling(), max_tokens=TOKENS, session="decode")
    async for _ in call:
        pass
    return (time.perf_counter() - started) / max(1, call.usage.generated_tokens), call.usage


if __name__ == "__main__":
    main()
