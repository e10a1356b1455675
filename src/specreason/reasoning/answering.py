"""From the finished chain to the answer: written after the thinking block, or already stated in the chain."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from specreason.config.scheme import Role
from specreason.engines.chat_format import OpenTurn
from specreason.engines.protocol import Constraint, Engine, Finish, Generation, Prompt, Sampling
from specreason.errors import AnswerFormRejected, EngineError, EngineRejected
from specreason.reasoning.answers import boxes, stated_answer
from specreason.reasoning.calls import call_ended
from specreason.reasoning.chain import Chain
from specreason.reasoning.emitting import Emitter
from specreason.reasoning.events import AnswerDelta, Fallback, Finished
from specreason.reasoning.options import AnswerCut
from specreason.reasoning.prompts import ANSWER_CUE, FORMED_ANSWER_CUE
from specreason.reasoning.run import Run
from specreason.reasoning.thinking import Thinking
from specreason.reasoning.writers import Writers

_CUED_ANSWER_TOKENS = 128


class Answer:
    """The answer of a run in the making; whoever goes on with it goes on where it stands."""

    def __init__(self, run: Run, thinking: Thinking, writers: Writers, emitter: Emitter) -> None:
        self._run = run
        self._thinking = thinking
        self._writers = writers
        self._emitter = emitter
        self._tokens = 0
        self._finish: Finish | None = None  # of the last call
        self._text = ""  # what was emitted of it

    async def write(self) -> None:
        """Emit the answer and the end of the run. Where the small model fails, the base model goes on."""
        run, thinking, writers, emitter = self._run, self._thinking, self._writers, self._emitter
        role = run.settings.answer_by if run.settings.answer_by in writers.roles else writers.roles[0]
        stated = stated_answer("".join(thinking.texts))
        # Without a thinking block the chain is the reply; if it states the answer there is nothing to add.
        if stated and thinking.texts and not run.turns[role].thinking and run.options.constraint is None:
            cut = AnswerCut(run.options.stop)
            await self._emit(cut.take(_last_text(thinking.texts)) + cut.rest())
            await emitter.emit(Finished(emitter.now(), stated))
            return
        try:
            await self._write_by(role)
        except AnswerFormRejected:
            raise
        except EngineError as error:
            if role == "base" or self._text or "base" not in writers.roles:
                raise
            await writers.fall_back(error)
            await emitter.emit(Fallback(emitter.now(), str(error)))
            await self._write_by("base")
        await emitter.emit(Finished(emitter.now(), stated_answer(self._text) or stated))

    async def _emit(self, text: str) -> None:
        self._text += text
        await self._emitter.emit(AnswerDelta(self._emitter.now(), text))

    async def _write_by(self, role: Role) -> None:
        """The rest of the answer, as it is written by a model.

        After a thinking block the model writes freely. Without one the chain is the reply, and this is asked
        for only if the chain does not state the answer: the model completes a boxed answer. An answer that
        must keep to a constraint comes in one piece: broken off, it can only be started anew.
        """
        room, chain = self._run.settings.answer_tokens, self._thinking.chain
        if self._run.options.max_tokens is not None:
            room = min(room, self._run.options.max_tokens - chain.tokens)
        if room <= self._tokens:
            return
        if (constraint := self._run.options.constraint) is not None:
            await self._write_formed(role, constraint, room - self._tokens)
        else:
            await self._write_freely(role, room - self._tokens)

    async def _write_formed(self, role: Role, constraint: Constraint, room: int) -> None:
        run, cut, text = self._run, AnswerCut(self._run.options.stop), ""
        cue = "" if run.turns[role].thinking else FORMED_ANSWER_CUE
        prompt = await self._prompt(role, cue)
        try:
            async with aclosing(
                self._called(role, prompt, replace(run.sampling, constraint=constraint), room)
            ) as pieces:
                async for piece in pieces:
                    text += cut.take(piece)
                    if cut.reached:
                        break
        except EngineRejected as error:
            raise AnswerFormRejected(f"the form of the answer was refused ({error})", engine=role) from None
        text += cut.rest()
        # llama.cpp writes freely where it cannot make a grammar of a schema, and does not say so.
        if self._finish == "stop" and constraint.kind == "json" and not _is_json(text):
            raise AnswerFormRejected("the answer was not kept to the form asked for", engine=role)
        if text:
            await self._emit(text)

    async def _write_freely(self, role: Role, room: int) -> None:
        run = self._run
        cue = "" if run.turns[role].thinking or run.direct else ANSWER_CUE
        # Of the cue there may be less emitted than written: its end is kept back if it may begin a stop text.
        text = max(self._text, cue, key=len)
        cut = AnswerCut(run.options.stop)
        if (shown := cut.take(text.removeprefix(self._text))) or cut.reached:
            await self._emit(shown)
        if cut.reached:
            return
        prompt = await self._prompt(role, text)
        limit = min(room, _CUED_ANSWER_TOKENS) if cue else room
        async with aclosing(self._called(role, prompt, run.sampling, limit)) as pieces:
            async for piece in pieces:
                text += piece
                if shown := cut.take(piece):
                    await self._emit(shown)
                if cut.reached or (cue and boxes(text)):
                    break
        if shown := cut.rest():
            await self._emit(shown)

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
            self._emitter.call_ended(call_ended(role, "answer", call.usage, call.waited_s, self._finish))

    async def _prompt(self, role: Role, text: str) -> Prompt:
        return await _answer_prompt(
            self._run.writer(role), self._run.turns[role], role, self._thinking.chain, text
        )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _last_text(texts: Sequence[str]) -> str:
    return next((text.strip() for text in reversed(texts) if text.strip()), "")


async def _answer_prompt(engine: Engine, turn: OpenTurn, role: Role, chain: Chain, text: str) -> Prompt:
    """The chain, its thinking closed, and the answer so far."""
    prompt = chain.prompts[role]
    broken_line = chain.last is None or chain.last.text.endswith("\n")
    if not turn.thinking:
        opening = text if broken_line else f"\n\n{text}"
        return prompt.plus(await engine.tokenize(opening)) if opening else prompt
    close = turn.close if broken_line else turn.close_after_text
    assert close is not None
    return prompt.plus(close, *([await engine.tokenize(text)] if text else []))


async def _without_tags(call: Generation) -> AsyncGenerator[str, None]:
    """The pieces' texts without stray thinking tags, which are tokens of their own."""
    async for piece in call:
        text = piece.text.replace("<think>", "").replace("</think>", "")
        if text:
            yield text
