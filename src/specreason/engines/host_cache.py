"""Whether a llama-server keeps the prompts of other conversations in host memory, which mixes up replies.

llama.cpp's host-memory prompt cache (`--cache-ram`, 8192 MiB unless set) may restore the state of one
conversation into the slot of another; the reply then goes on from someone else's problem, and nothing tells
so (its issue 27148). The server does not say whether the cache is on, but it can be seen: a prompt that was
evicted from its slot by another one is not read again.
"""

from specreason.engines.http import HttpEngine
from specreason.engines.protocol import Prompt, Sampling

WARNING = (
    "this llama-server keeps prompts in host memory (--cache-ram), which can put one conversation's text "
    "into the reply to another (llama.cpp issue 27148); start it with --cache-ram 0"
)
_SESSION = "host-cache-probe"
_PROMPTS = (
    "A field of wheat lies behind the old mill, and in summer the children cross it to reach the river.",
    "Seven lamps stood on the shelf until Monday; by Friday only four of those were left, all unlit.",
)


async def keeps_prompts_in_host_memory(engine: object) -> bool:
    """Whether `engine` is a llama-server with that cache on, as far as it can be seen.

    Three short prompts in one slot. A request of someone else's in between can hide it. Raises EngineError.
    """
    if not isinstance(engine, HttpEngine) or not engine.names_slots or engine.capabilities.in_process:
        return False
    first, second = [Prompt().plus(await engine.tokenize(text)) for text in _PROMPTS]
    cached = 0
    try:
        for prompt in (first, second, first):
            call = engine.generate(prompt, sampling=Sampling(), max_tokens=1, session=_SESSION)
            async for _ in call:
                pass
            cached = call.usage.cached_tokens or 0
    finally:
        engine.end_session(_SESSION)
    length = first.tokens or len(_PROMPTS[0])
    return cached > length // 2
