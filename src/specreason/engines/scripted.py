r"""An engine that says what a script says: for tests of loops, policies and clients, without any model.

The reply to a prompt depends on the prompt alone, never on when it is asked, so a script gives the same
story under any schedule:

    ScriptedEngine(
        "small",
        steps=["Two and two is 4.\n\n", "Twice that is 9.\n\n", "So \\boxed{9}.\n\n"],
        scores={"is 9": "2"},
        answer="It is 9.",
    )

- `steps`: what it writes after n steps of the chain are there is `steps[n:]`, run together, then it stops.
  Where the next of them is started already it writes the rest. Write `</think>` into the last step to end
  thinking.
- `answer`: what it writes once thinking is closed; the rest of it where some stands there already.
- `scores`: text to reply; the text that stands last in the prompt decides, else the reply is "9". A reply
  is the next token, or a mapping of token texts to probabilities.
- `failures`: call number (generate calls and scores counted together, from 0) to the error it raises.
- `fails_after`: tokens that a failing generate call writes before it fails.
- `fails_at`: number of the step (from 0) that cannot be written, to the error that comes instead.
- `variants`: what it writes as the second, third ... of several writers of one conversation; the first
  writes `steps`.
"""

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any, Literal

from specreason.engines.protocol import (
    Capabilities,
    ConstraintKind,
    Generation,
    Message,
    Meter,
    NextToken,
    Piece,
    Prompt,
    Sampling,
    Segment,
    Usage,
)
from specreason.errors import EngineError

_WORD = re.compile(r"\n\n|\s?[^\s<]+|<[^\s>]*>?|\s")
_OPENED = "<|assistant|>"


@dataclass(slots=True)
class Call:
    """One call as the engine saw it. `generated` counts tokens; `closed_early`: the caller left first."""

    kind: Literal["generate", "score"]
    prompt: Prompt
    session: str
    generated: int = 0
    closed_early: bool = False
    sampling: Sampling | None = None


@dataclass(slots=True)
class ScriptedEngine:
    """Implements `Engine` from a script (see the module); `calls` records what was asked of it.

    `thinking`: the template opens a thinking block. `delay_s`: seconds a token. `token_ids`: whether it takes
    and gives token ids. `vocabulary`: engines with another one split text alike but number it differently.
    `record`: whether `calls` is kept, and with it the numbers of `failures`; long runs do without.
    """

    name: str
    steps: Sequence[str] = ()
    answer: str = ""
    scores: Mapping[str, str | Mapping[str, float]] = field(default_factory=dict[str, str])
    failures: Mapping[int, EngineError] = field(default_factory=dict[int, EngineError])
    fails_after: int = 0
    fails_at: Mapping[int, EngineError] = field(default_factory=dict[int, EngineError])
    variants: Sequence[Sequence[str]] = ()
    thinking: bool = True
    delay_s: float = 0.0
    context_length: int = 100_000
    vocabulary: str = "words"
    token_ids: bool = True
    constraints: tuple[ConstraintKind, ...] = ("json", "regex", "choice", "grammar")
    record: bool = True
    calls: list[Call] = field(default_factory=list[Call])
    closed: bool = False

    @property
    def model(self) -> str:
        return f"scripted-{self.name}"

    @property
    def capabilities(self) -> Capabilities:
        """Everything, or text only without `token_ids`."""
        ids = self.token_ids
        return Capabilities(ids, ids, ids, True, 40, True, True, constraints=self.constraints)

    def generate(
        self,
        prompt: Prompt,
        *,
        sampling: Sampling,
        max_tokens: int,
        stop: Sequence[str] = (),
        session: str = "",
    ) -> Generation:
        """What the script says after `prompt`. `sampling` is noted, `stop` not used."""

        async def pieces(meter: Meter) -> AsyncGenerator[Piece, None]:
            call, failure = self._called("generate", prompt, session)
            call.sampling = sampling
            meter.usage = Usage(prompt.tokens, prompt.tokens)
            step = self._steps_in(prompt.text)
            try:
                for word in words(self._continuation(prompt.text, session)):
                    if step in self.fails_at and "</think>" not in prompt.text:
                        raise self.fails_at[step]
                    step += word.endswith("\n\n")
                    if failure is not None and call.generated >= self.fails_after:
                        raise failure
                    if call.generated == max_tokens:
                        meter.finish = "length"
                        return
                    await asyncio.sleep(self.delay_s)
                    call.generated += 1
                    meter.usage = Usage(prompt.tokens, prompt.tokens, call.generated)
                    yield Piece(word, (self._id(word),) if self.token_ids else None, (-0.1,))
                meter.finish = "stop"
            finally:
                call.closed_early = meter.finish is None and failure is None

        return Generation(pieces)

    async def next_token_logprobs(
        self, prompt: Prompt, *, candidates: Sequence[str] = (), session: str = ""
    ) -> NextToken:
        call, failure = self._called("score", prompt, session)
        await asyncio.sleep(self.delay_s)
        if failure is not None:
            raise failure
        call.generated = 1
        text = prompt.text
        at, key = max(((text.rfind(key), key) for key in self.scores), default=(-1, ""))
        reply = self.scores[key] if at >= 0 else "9"
        chances = {reply: 1.0} if isinstance(reply, str) else reply
        logprobs = {t: log(p) for t, p in sorted(chances.items(), key=lambda i: -i[1]) if p > 0}
        return NextToken(logprobs, Usage(prompt.tokens, prompt.tokens, 1), self.delay_s)

    async def tokenize(self, text: str, *, control: bool = False) -> Segment:
        return Segment(text, tuple(self._id(word) for word in words(text)) if self.token_ids else None)

    async def reads_as_control(self, candidates: Collection[str]) -> Collection[str]:
        return candidates

    async def apply_template(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """A template of the usual kind: `<|user|>text<|end|>` and so on."""
        text = "".join(f"<|{message['role']}|>{message['content']}<|end|>" for message in messages)
        return text + _OPENED + ("<think>\n" if self.thinking else "")

    def end_session(self, session: str) -> None:
        """There is no cache to give up."""

    async def aclose(self) -> None:
        self.closed = True

    def _called(
        self, kind: Literal["generate", "score"], prompt: Prompt, session: str
    ) -> tuple[Call, EngineError | None]:
        call = Call(kind, prompt, session)
        if not self.record:
            return call, None
        self.calls.append(call)
        return call, self.failures.get(len(self.calls) - 1)

    def _continuation(self, prompt: str, session: str) -> str:
        chain = prompt.rsplit(_OPENED, 1)[-1]
        if "</think>" in chain:
            started = chain.rsplit("</think>", 1)[-1].lstrip("\n")
            return self.answer.removeprefix(started)
        number = int(session.rpartition("/")[2]) if "/" in session else 0
        steps = self.variants[number - 1] if 0 < number <= len(self.variants) else self.steps
        started = chain.removeprefix("<think>\n").rpartition("\n\n")[2]
        return "".join(steps[self._steps_in(prompt) :]).removeprefix(started)

    def _steps_in(self, prompt: str) -> int:
        return prompt.rsplit(_OPENED, 1)[-1].count("\n\n")

    def _id(self, word: str) -> int:
        return zlib.crc32(f"{self.vocabulary} {word}".encode())


def words(text: str) -> list[str]:
    """The scripted tokenizer: words with the white space before them, blank lines, tags."""
    return _WORD.findall(text)
