"""From the finished chain to the answer: written after the thinking block, or already stated in the chain."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from specreason.engines.chat_format import OpenTurn
from specreason.engines.protocol import Engine, Finish, Generation, Prompt, Sampling
from specreason.errors import AnswerFormRejected, EngineRejected
from specreason.reasoning.answers import boxes
from specreason.reasoning.calls import call_ended
from specreason.reasoning.chain import Chain, Role
from specreason.reasoning.events import CallEnded
from specreason.reasoning.prompts import ANSWER_CUE, FORMED_ANSWER_CUE
from specreason.reasoning.run import Run
from specreason.reasoning.terms import AnswerCut

_CUED_ANSWER_TOKENS = 128


class Answer:
    """The answer of a run in the making; whoever goes on with it goes on where it stands.

    `text`: what has been told of it.
    """

    def __init__(self, run: Run, on_call: Callable[[CallEnded], None]) -> None:
        self._run = run
        self._on_call = on_call
        self._tokens = 0
        self._finish: Finish | None = None  # of the last call
        self.text = ""

    async def written_by(self, role: Role, chain: Chain) -> AsyncGenerator[str, None]:
        """The rest of the answer's text, as it is written by a model.

        After a thinking block the model writes freely. Without one the chain is the reply, and this is asked
        for only if the chain does not state the answer: the model completes a boxed answer. An answer that
        must keep to a constraint comes in one piece: broken off, it can only be begun anew.
        """
        room = self._run.settings.answer_tokens
        if self._run.terms.max_tokens is not None:
            room = min(room, self._run.terms.max_tokens - chain.tokens)
        if room > self._tokens:
            async with aclosing(self._written(role, chain, room - self._tokens)) as texts:
                async for text in texts:
                    self.text += text
                    yield text

    async def _written(self, role: Role, chain: Chain, room: int) -> AsyncGenerator[str, None]:
        turn, engine, run = self._run.turns[role], self._run.writer(role), self._run
        if run.terms.constraint is not None:
            cut = AnswerCut(run.terms.stop)
            cue = "" if turn.thinking else FORMED_ANSWER_CUE
            prompt = await _answer_prompt(engine, turn, role, chain, cue)
            sampling = replace(run.sampling, constraint=run.terms.constraint)
            text = ""
            try:
                async with aclosing(self._called(role, prompt, sampling, room)) as pieces:
                    async for piece in pieces:
                        text += cut.take(piece)
                        if cut.reached:
                            break
            except EngineRejected as error:
                raise AnswerFormRejected(
                    f"the form of the answer was refused ({error})", engine=role
                ) from None
            text += cut.rest()
            # llama.cpp writes freely where it cannot make a grammar of a schema, and does not say so.
            if self._finish == "stop" and run.terms.constraint.kind == "json" and not _is_json(text):
                raise AnswerFormRejected("the answer was not kept to the form asked for", engine=role)
            if text:
                yield text
            return
        cue = "" if turn.thinking or run.direct else ANSWER_CUE
        # Of the cue there may be less told than written: its end is held back if it may begin a stop text.
        begun = max(self.text, cue, key=len)
        cut = AnswerCut(run.terms.stop)
        if (told := cut.take(begun.removeprefix(self.text))) or cut.reached:
            yield told
        if cut.reached:
            return
        prompt = await _answer_prompt(engine, turn, role, chain, begun)
        limit = min(room, _CUED_ANSWER_TOKENS) if cue else room
        text = begun
        async with aclosing(self._called(role, prompt, run.sampling, limit)) as pieces:
            async for piece in pieces:
                text += piece
                if told := cut.take(piece):
                    yield told
                if cut.reached or (cue and boxes(text)):
                    break
        if told := cut.rest():
            yield told

    async def _called(
        self, role: Role, prompt: Prompt, sampling: Sampling, limit: int
    ) -> AsyncGenerator[str, None]:
        """The texts of one call, which is accounted for however it ends."""
        call = self._run.writer(role).generate(
            prompt, sampling=sampling, max_tokens=limit, session=self._run.session
        )
        try:
            async with aclosing(_without_tags(call)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            await call.aclose()
            self._tokens += call.usage.generated_tokens
            self._finish = call.finish or "cancelled"
            self._on_call(call_ended(role, "answer", call.usage, call.waited_s, self._finish))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


async def _answer_prompt(engine: Engine, turn: OpenTurn, role: Role, chain: Chain, begun: str) -> Prompt:
    prompt = chain.prompts[role]
    broken_line = chain.last is None or chain.last.text.endswith("\n")
    if not turn.thinking:
        opening = begun if broken_line else f"\n\n{begun}"
        return prompt.plus(await engine.tokenize(opening)) if opening else prompt
    close = turn.close if broken_line else turn.close_after_text
    assert close is not None
    return prompt.plus(close, *([await engine.tokenize(begun)] if begun else []))


async def _without_tags(call: Generation) -> AsyncGenerator[str, None]:
    """The pieces' texts without stray thinking tags, which are tokens of their own."""
    async for piece in call:
        text = piece.text.replace("<think>", "").replace("</think>", "")
        if text:
            yield text
