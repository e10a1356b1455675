"""From the finished chain to the answer: written after the thinking block, or already stated in the chain."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from specreason.engines.chat_format import OpenTurn
from specreason.engines.protocol import Engine, Generation, Prompt, Sampling
from specreason.reasoning.answers import boxed_answer
from specreason.reasoning.chain import Chain, Role
from specreason.reasoning.events import CallEnded
from specreason.reasoning.prompts import ANSWER_CUE
from specreason.reasoning.terms import AnswerCut

_CUED_ANSWER_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who writes the answer, and how. `max_tokens` bounds it; `stop` texts end it.

    `begun`: what was told of it before the model broke off.
    """

    role: Role
    engine: Engine
    turn: OpenTurn
    sampling: Sampling
    max_tokens: int
    session: str
    on_call: Callable[[CallEnded], None]
    stop: tuple[str, ...] = ()
    begun: str = ""


async def write_answer(answerer: Answerer, chain: Chain) -> AsyncGenerator[str, None]:
    """The answer's text, as it is written.

    After a thinking block the model writes freely. Without one the chain is the reply, and this is asked for
    only if the chain does not state the answer: the model completes a boxed answer.
    """
    cue = "" if answerer.turn.thinking else ANSWER_CUE
    prompt = await _answer_prompt(answerer, chain, answerer.begun or cue)
    limit = min(answerer.max_tokens, _CUED_ANSWER_TOKENS) if cue else answerer.max_tokens
    call = answerer.engine.generate(
        prompt, sampling=answerer.sampling, max_tokens=limit, session=answerer.session
    )
    text, cut = answerer.begun or cue, AnswerCut(answerer.stop)
    if cue and not answerer.begun:
        yield cue
    try:
        async with aclosing(_without_tags(call)) as pieces:
            async for piece in pieces:
                text += piece
                if told := cut.take(piece):
                    yield told
                if cut.reached or (cue and boxed_answer(text) is not None):
                    break
        if told := cut.rest():
            yield told
    finally:
        await call.aclose()
        usage = call.usage
        answerer.on_call(
            CallEnded(
                at=0.0,
                role=answerer.role,
                phase="answer",
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=usage.cached_tokens,
                generated_tokens=usage.generated_tokens,
                delivered_tokens=usage.generated_tokens,
                seconds=call.waited_s,
                prefill_s=usage.prefill_s,
                decode_s=usage.decode_s,
                finish=call.finish or "cancelled",
            )
        )


async def _answer_prompt(answerer: Answerer, chain: Chain, begun: str) -> Prompt:
    prompt = chain.prompts[answerer.role]
    broken_line = chain.last is None or chain.last.text.endswith("\n")
    if not answerer.turn.thinking:
        return prompt.plus(await answerer.engine.tokenize(begun if broken_line else f"\n\n{begun}"))
    close = answerer.turn.close if broken_line else answerer.turn.close_after_text
    assert close is not None
    return prompt.plus(close, *([await answerer.engine.tokenize(begun)] if begun else []))


async def _without_tags(call: Generation) -> AsyncGenerator[str, None]:
    """The pieces' texts without stray thinking tags, which are tokens of their own."""
    async for piece in call:
        text = piece.text.replace("<think>", "").replace("</think>", "")
        if text:
            yield text
