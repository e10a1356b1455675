"""What a connected engine can do, found out by asking it for a token or two."""

import asyncio
import math
from dataclasses import replace

from specreason.engines.dialects import Dialect
from specreason.engines.http import HttpEngine
from specreason.engines.protocol import Capabilities, NextToken, Prompt, Sampling
from specreason.errors import EngineRejected, EngineUnavailable

_LOGPROBS = (5, 1, 0)  # asked for where a server refuses as many as its kind usually gives


async def with_seen_capabilities(
    engine: HttpEngine, dialect: Dialect, tokens: list[int] | None
) -> HttpEngine:
    """One token from a known prompt, by token ids if the endpoint takes them, shows most of the rest."""
    capabilities = replace(
        engine.capabilities, token_prompts=tokens is not None, first_token_logprobs=dialect.max_logprobs
    )
    known = "Two and two is"
    # One that speculates is known by what it drafts, and it has to be given room for that.
    tokens_asked = 4 if dialect.speculating else 2
    while True:
        trial = engine.with_capabilities(capabilities)
        segment = await trial.tokenize(known)
        prompt = Prompt().plus(segment)
        try:
            call = trial.generate(prompt, sampling=Sampling(), max_tokens=tokens_asked)
            pieces = [piece async for piece in call]
            if call.usage.token_drafts and not capabilities.speculates:
                capabilities = replace(capabilities, speculates=True)
                continue
            # Without candidates: vLLM tells those in place of the likeliest, which are counted here.
            asks = capabilities.first_token_logprobs
            answer = await trial.next_token_logprobs(prompt) if asks else NextToken({}, call.usage, 0.0)
            break
        except EngineRejected as refusal:
            capabilities = _fewer(capabilities, refusal)
    taken = segment.ids is not None and call.usage.prompt_tokens == len(segment.ids)
    return engine.with_capabilities(
        replace(
            capabilities,
            token_prompts=taken,
            token_ids_back=bool(pieces) and all(piece.ids for piece in pieces),
            cached_tokens=answer.usage.cached_tokens is not None,
            first_token_logprobs=min(capabilities.first_token_logprobs, len(answer.logprobs))
            if _are_log_probabilities(answer)
            else 0,
            candidates=await _takes_candidates(engine.with_capabilities(capabilities), dialect, prompt),
        )
    )


def _fewer(capabilities: Capabilities, refusal: EngineRejected) -> Capabilities:
    """Step down to what every server takes: without what the refusal names, else one after the other.

    Most servers refuse what they do not know. Raises `refusal` where nothing is left to do without.
    """
    logprobs = capabilities.first_token_logprobs
    fewer = next((n for n in _LOGPROBS if n < logprobs), None)
    if capabilities.usage and ("stream_options" in str(refusal) or "include_usage" in str(refusal)):
        return replace(capabilities, usage=False)
    if capabilities.token_prompts and not (logprobs and "logprobs" in str(refusal)):
        return replace(capabilities, token_prompts=False)
    if fewer is None:
        raise refusal
    return replace(capabilities, first_token_logprobs=fewer)


def _are_log_probabilities(answer: NextToken) -> bool:
    """Some servers tell zeros while they speculate: probabilities that sum to more than one."""
    return sum(math.exp(min(logprob, 0.0)) for logprob in answer.logprobs.values()) < 1.01


async def _takes_candidates(engine: HttpEngine, dialect: Dialect, prompt: Prompt) -> bool:
    """Whether given tokens can be asked for; vLLM may fail at it while it speculates (its issue 44727)."""
    if not dialect.candidates_field or not engine.capabilities.first_token_logprobs:
        return False
    trial = engine.with_capabilities(replace(engine.capabilities, candidates=True))
    try:
        return bool((await trial.next_token_logprobs(prompt, candidates=("0", "1"))).logprobs)
    except (EngineRejected, EngineUnavailable):
        return False


async def probe_cancellation(engine: HttpEngine) -> bool | None:
    """Whether leaving a stream stops the server's work, by the server's own count of running requests.

    None if the server gives no such count, or the call was never in it.
    """
    before = await engine.running_requests()
    if before is None:
        return None
    prompt = Prompt().plus(await engine.tokenize("Count: one, two, three,"))
    call = engine.generate(
        prompt, sampling=Sampling(temperature=1.0), max_tokens=min(2048, engine.context_length // 2)
    )
    seen = False
    try:
        await anext(call, None)
        # The count may lag behind; a call that was never in it would seem stopped at once.
        for _ in range(20):
            if seen := (await engine.running_requests() or 0) > before:
                break
            await asyncio.sleep(0.05)
    finally:
        await call.aclose()
    if not seen:
        return None
    for _ in range(150):  # a loaded machine needs a while to notice
        if (await engine.running_requests() or 0) <= before:
            return True
        await asyncio.sleep(0.1)
    return False
