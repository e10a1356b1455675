"""Several problems at once on llama.cpp: are the replies those that each problem gets alone?

    make bench-concurrent-answers

The pocket pair, greedily, embedded and behind llama.cpp servers of their own, under each scheme: every
problem alone first, then 2, 4 and 8 at once. Each reply (chain and answer) is compared with that of the same
problem alone, and searched for lines of another problem. A model server that mixed up its caches would show
here; so would a drafter, a judge or a rewrite that went on from another conversation.
"""

import argparse
import asyncio
import json
import platform
import re
import resource
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import islice

from specreason_lab.problems import Problem, problems, stated_answer

from benchmarks.llama_server import CONTEXT, running
from benchmarks.measuring import processor
from specreason import ReasoningSettings, SamplingSettings, Settings, SpecReason
from specreason.config import EngineSettings, Scheme
from specreason.engines.names import EngineName
from specreason.models.catalogue import POCKET_PAIR
from specreason.reasoning.events import StepKept
from specreason.reasoning.result import Tally

SEED = 2
SLOTS = 16  # of each model: lookahead, several drafts and hedging take more than one for a conversation
GREEDY = SamplingSettings(temperature=0, seed=1)
SCHEMES: Mapping[str, ReasoningSettings] = {
    "base": ReasoningSettings(scheme=Scheme("base")),
    "small": ReasoningSettings(scheme=Scheme("small")),
    "specreason": ReasoningSettings(),
    "lookahead": ReasoningSettings(lookahead=3),
    "drafts": ReasoningSettings(drafts_per_step=2, on_reject="hedge"),
    "decode": ReasoningSettings(scheme=Scheme.parse("specreason+decode")),
}
_LINE = re.compile(r"^\d+\) (.+?) with ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one problem. `foreign`: lines that stand in another problem, and not in this one."""

    text: str
    right: bool
    foreign: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=80)
    parser.add_argument("--at-once", default="2,4,8")
    parser.add_argument("--engines", default="embedded,llama-server")
    parser.add_argument("--schemes", default="base,specreason")
    parser.add_argument("--slots", type=int, default=SLOTS)
    parser.add_argument("--cache-ram", type=int, default=0, help="llama-server: MiB; 8192 is its default")
    arguments = parser.parse_args()
    print(f"machine: {processor()}, Python {platform.python_version()}", flush=True)
    asyncio.run(run(arguments))


async def run(arguments: argparse.Namespace) -> None:
    sample = list(islice(problems(SEED, "test"), arguments.problems))
    at_once = [int(count) for count in arguments.at_once.split(",")]
    engines: list[str] = arguments.engines.split(",")
    alone_right = together_right = together = foreign = differing = 0
    for kind in engines:
        schemes: list[str] = [
            name for name in arguments.schemes.split(",") if kind == "embedded" or name != "decode"
        ]
        async with opened(kind, schemes, arguments.slots, arguments.cache_ram) as pair:
            for scheme in schemes:
                alone = await replies(pair, sample, SCHEMES[scheme], 1)
                line = f"{kind:12} {scheme:10} alone: {_right(alone)} of {len(sample)} right"
                print(f"{line}, {_foreign(alone)} foreign lines", flush=True)
                for count in at_once:
                    found = await replies(pair, sample, SCHEMES[scheme], count)
                    differ = sum(a.text != b.text for a, b in zip(alone, found, strict=True))
                    print(
                        f"{kind:12} {scheme:10} {count} at once: {_right(found)} right, {differ} differ, "
                        f"{_foreign(found)} foreign lines",
                        flush=True,
                    )
                    alone_right += _right(alone)
                    together_right += _right(found)
                    together += len(found)
                    foreign += _foreign(found)
                    differing += differ
    result = {
        "alone_right": round(alone_right / together, 4),
        "together_right": round(together_right / together, 4),
        "foreign_lines": foreign,
        "differing_greedy": differing,
        "problems": len(sample),
        "at_once": at_once,
        "engines": engines,
        "schemes": arguments.schemes.split(","),
        "replies": together,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,  # the embedded models in it
    }
    print("RESULT", json.dumps(result))


async def replies(
    pair: SpecReason, sample: Sequence[Problem], reasoning: ReasoningSettings, at_once: int
) -> list[Reply]:
    """One reply for each problem, in their order."""
    places = asyncio.Semaphore(at_once)
    lines = [set(_LINE.findall("\n".join(problem.steps))) for problem in sample]

    async def one(number: int, problem: Problem) -> Reply:
        async with places:
            tally, chain = Tally(), list[str]()
            events = pair.stream(problem.text, reasoning=reasoning, sampling=GREEDY)
            async with aclosing(events):
                async for event in events:
                    tally.take(event)
                    if isinstance(event, StepKept):
                        chain.append(event.step.text)
        answer = tally.result().answer_text
        text = "".join(chain)
        others = {line for other, theirs in enumerate(lines) if other != number for line in theirs}
        strange = set(_LINE.findall(text)) - lines[number]
        return Reply(text + answer, stated_answer(answer) == problem.answer, len(strange & others))

    return await asyncio.gather(*(one(number, problem) for number, problem in enumerate(sample)))


@asynccontextmanager
async def opened(
    kind: str, schemes: Sequence[str], slots: int, cache_ram: int
) -> AsyncGenerator[SpecReason, None]:
    """The pocket pair, embedded or behind a llama.cpp server for each model."""
    roles: list[EngineName] = ["base", "small"]
    if "decode" in schemes:
        roles.append("base+decode")
    if kind == "embedded":
        section = EngineSettings(context=CONTEXT, parallel=slots, threads=1)
        settings = Settings(pair=POCKET_PAIR, base=section, small=section)
        async with SpecReason(settings, roles=roles) as pair:
            yield pair
        return
    async with (
        running("base", slots=slots, cache_ram=cache_ram) as base,
        running("small", slots=slots, cache_ram=cache_ram) as small,
        SpecReason(
            Settings(pair=POCKET_PAIR, base=EngineSettings(url=base), small=EngineSettings(url=small)),
            roles=roles,
        ) as pair,
    ):
        yield pair


def _right(found: Sequence[Reply]) -> int:
    return sum(reply.right for reply in found)


def _foreign(found: Sequence[Reply]) -> int:
    return sum(reply.foreign for reply in found)


if __name__ == "__main__":
    main()
