"""The engine contract: one model behind one small, async interface, immutable values in and out.

An engine knows tokens, prompts and distributions. It knows no steps, no scores, no policies.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

from specreason.engines.waiting import waiting

Finish = Literal["stop", "length", "cancelled"]
Message = Mapping[str, Any]
"""`role`: system, user, assistant or tool; `content`: text. Of an assistant also `tool_calls` and
`reasoning_content`, of a tool `tool_call_id`: as the chat templates of model makers take them."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a prompt. `ids` are its tokens, None where the engine takes text only."""

    text: str
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """An append-only sequence of segments, each tokenised once, so that a cached prefix stays valid.

    Extending shares the segments; the cost does not depend on how many tokens they hold.
    """

    segments: tuple[Segment, ...] = ()
    tokens: int | None = 0  # None as soon as one segment has no ids

    def plus(self, *segments: Segment) -> "Prompt":
        """This prompt, followed by `segments`."""
        tokens = self.tokens
        for segment in segments:
            tokens = None if tokens is None or segment.ids is None else tokens + len(segment.ids)
        return Prompt((*self.segments, *segments), tokens)

    @property
    def text(self) -> str:
        """The prompt as text."""
        return "".join(segment.text for segment in self.segments)

    @property
    def ids(self) -> list[int] | None:
        """The prompt as token ids, or None if some segment has none."""
        if self.tokens is None:
            return None
        return [i for segment in self.segments for i in segment.ids or ()]


ConstraintKind = Literal["json", "regex", "choice", "grammar"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a text must be: JSON by a schema, by a regular expression, one of some texts, by a grammar."""

    kind: ConstraintKind
    value: Any


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy. None: as the engine does by itself.

    `top_k`: from the likeliest so many, -1 from all; `min_p`: least share of the likeliest one's probability.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    top_k: int | None = None
    min_p: float | None = None
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """The smallest unit that an engine streams: usually one token.

    `ids` are the tokens of `text`, None where the engine does not give them; `logprobs` are theirs (natural
    logarithm), None where the engine does not give them.
    """

    text: str
    ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call cost. Tokens; seconds. None: the engine does not say.

    `token_drafts`: tokens that its own drafter proposed, `token_drafts_kept`: those of them that came out.
    """

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    generated_tokens: int = 0
    queue_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    token_drafts: int | None = None
    token_drafts_kept: int | None = None


@dataclass(slots=True)
class Meter:
    """The running account of an open call; the engine writes it while it streams."""

    usage: Usage = field(default_factory=Usage)
    finish: Finish | None = None


class Generation:
    """One streamed call: iterate for pieces, `aclose` to stop the model's work early.

    `finish` is None while the call is open. `waited_s` is the time spent waiting for the engine (seconds),
    as against the time in which the caller did something else.
    """

    def __init__(self, run: Callable[[Meter], AsyncGenerator[Piece, None]]) -> None:
        self._meter = Meter()
        self._pieces = run(self._meter)
        self.waited_s = 0.0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        asked = asyncio.get_running_loop().time()
        try:
            with waiting():
                return await anext(self._pieces)
        finally:
            self.waited_s += asyncio.get_running_loop().time() - asked

    @property
    def usage(self) -> Usage:
        """What the call has cost so far."""
        return self._meter.usage

    @property
    def finish(self) -> Finish | None:
        """Why the call ended, None while it is open."""
        return self._meter.finish

    async def aclose(self) -> None:
        """Stop the call if it is open. Safe to call twice."""
        asked = asyncio.get_running_loop().time()
        with waiting():
            await self._pieces.aclose()
        self.waited_s += asyncio.get_running_loop().time() - asked
        if self._meter.finish is None:
            self._meter.finish = "cancelled"


@dataclass(frozen=True, slots=True)
class NextToken:
    """The distribution over the next token: text to log-probability, the likeliest first.

    Only as much of it as the engine tells (its top k and the candidates asked for). Tokens with the same
    text are merged.
    """

    logprobs: Mapping[str, float]
    usage: Usage
    waited_s: float


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine was seen to do, probed once. None: cannot be seen from outside."""

    tokenize: bool = False
    token_prompts: bool = False
    token_ids_back: bool = False
    cached_tokens: bool = False
    first_token_logprobs: int = 0  # how many of the likeliest tokens it tells; 0: none, or untrue ones
    own_template: bool = False
    cancellation: bool | None = None
    candidates: bool = False  # it can be asked for the log-probabilities of given tokens
    speculates: bool = False  # it was seen to draft tokens itself; not every server tells
    usage: bool = True  # its streams can be asked to end with their usage
    in_process: bool = False  # it works on the cores of this process
    constraints: tuple[ConstraintKind, ...] = ()  # what its server's API can keep a text to


class Engine(Protocol):
    """One model. Every call may be cancelled, which stops the work in the model server too.

    `session` keeps a conversation's prefix in one place (cache slot, replica). Calls raise EngineError.
    """

    @property
    def name(self) -> str:
        """The configured name: "base" or "small"."""
        ...

    @property
    def model(self) -> str:
        """The model's own name."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens that prompt and output share."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do."""
        ...

    @property
    def vocabulary(self) -> str:
        """A fingerprint: engines with the same one have the same token ids for the same text."""
        ...

    def generate(
        self,
        prompt: Prompt,
        *,
        sampling: Sampling,
        max_tokens: int,
        stop: Sequence[str] = (),
        session: str = "",
    ) -> Generation:
        """Continue `prompt`. Nothing is sent before the first piece is asked for."""
        ...

    async def next_token_logprobs(
        self, prompt: Prompt, *, candidates: Sequence[str] = (), session: str = ""
    ) -> NextToken:
        """The distribution over the token after `prompt`: prefill and one token.

        Engines that can be asked for given tokens report `candidates` whatever their rank.
        """
        ...

    async def tokenize(self, text: str, *, control: bool = False) -> Segment:
        """`text` as a segment. With `control` the template's control tokens are parsed, else all is text."""
        ...

    async def reads_as_control(self, candidates: Collection[str]) -> Collection[str]:
        """Which of these texts the tokenizer may read as a control token, where those are parsed."""
        ...

    async def apply_template(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """The conversation as the model's own template writes it, with the assistant's turn opened.

        `tools`: those that the model may call, in OpenAI's shape. `template_kwargs`: further variables of the
        template, besides those of the settings.
        """
        ...

    def end_session(self, session: str) -> None:
        """The conversation `session` is over: what its cache holds need not be kept for it any longer."""
        ...

    async def aclose(self) -> None:
        """Release connections, and the model if it lives in this process."""
        ...
