"""An engine behind an OpenAI-compatible completions endpoint: vLLM, SGLang, llama-server and their like."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from specreason.config import EngineSettings
from specreason.engines import control_tokens
from specreason.engines.chunks import first_distribution, log_sum, pieces
from specreason.engines.dialects import Dialect, Json, inner
from specreason.engines.protocol import (
    Capabilities,
    Finish,
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
from specreason.engines.templates import Template, render, written_by
from specreason.engines.tokenizing import Tokenizer
from specreason.engines.transport import Transport
from specreason.errors import ConfigError, ContextOverflow, EngineError, EngineUnavailable

_LARGE = 256  # messages from which on a conversation is rendered beside the event loop
_FINISH: Mapping[str, Finish] = {"stop": "stop", "length": "length"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What was found out about a server when it was connected."""

    dialect: Dialect
    model: str
    context_length: int
    capabilities: Capabilities
    vocabulary: str
    bos: str = ""  # what the server puts before a text prompt, and we before token ids
    slots: int = 0  # cache slots that a request can name
    template: Template | None = None  # ours, where the server has none to offer


class HttpEngine:
    """See `Engine`. Made by `connect.connect`, which probes the endpoint."""

    def __init__(
        self,
        transport: Transport,
        settings: EngineSettings,
        endpoint: Endpoint,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._endpoint = endpoint
        self._on_close = on_close
        self._slots: OrderedDict[str, int] = OrderedDict()
        self._candidate_ids: dict[str, int | None] = {}
        self._tokenizer = Tokenizer(self._asked_tokens, apart=endpoint.dialect.reads_control_as_text)
        self._template_writes = written_by(endpoint.template) if endpoint.template else None

    @property
    def name(self) -> str:
        """The configured name: "base" or "small"."""
        return self._transport.name

    @property
    def model(self) -> str:
        """The model's name at the endpoint."""
        return self._endpoint.model

    @property
    def context_length(self) -> int:
        """Tokens that prompt and output share."""
        return self._endpoint.context_length

    @property
    def capabilities(self) -> Capabilities:
        """As probed when the engine was connected."""
        return self._endpoint.capabilities

    @property
    def vocabulary(self) -> str:
        """See `Engine.vocabulary`."""
        return self._endpoint.vocabulary

    @property
    def dialect(self) -> str:
        """The name of the dialect that the endpoint speaks."""
        return self._endpoint.dialect.name

    def generate(
        self,
        prompt: Prompt,
        *,
        sampling: Sampling,
        max_tokens: int,
        stop: Sequence[str] = (),
        session: str = "",
    ) -> Generation:
        """See `Engine.generate`. Sends POST /v1/completions with `stream`."""
        body = self._body(prompt, session) | {
            "max_tokens": max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if stop:
            body["stop"] = list(stop)
        if self._endpoint.capabilities.speculates and self._endpoint.dialect.speculating:
            body |= self._endpoint.dialect.speculating
        elif self._endpoint.capabilities.first_token_logprobs:
            body["logprobs"] = 1  # the draft's own log-probabilities are a signal that costs nothing
        return Generation(lambda meter: self._pieces(body, prompt, meter))

    async def next_token_logprobs(
        self, prompt: Prompt, *, candidates: Sequence[str] = (), session: str = ""
    ) -> NextToken:
        """See `Engine.next_token_logprobs`. Streamed, so that cancelling it stops the server's work."""
        body = self._body(prompt, session) | {
            **self._endpoint.dialect.distribution,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": self._endpoint.capabilities.first_token_logprobs,
        }
        names: dict[str, str] = {}
        if self._endpoint.dialect.candidates_field:
            found = await asyncio.gather(*map(self._candidate_id, candidates))
            ids = {i: text for i, text in zip(found, candidates, strict=True) if i is not None}
            if self._endpoint.capabilities.candidates:
                body[self._endpoint.dialect.candidates_field] = list(ids)
            names = {f"token_id:{i}": text for i, text in ids.items()}
        merged: dict[str, float] = {}

        async def first(meter: Meter) -> AsyncGenerator[Piece, None]:
            async for chunk in self._metered(body, prompt, meter):
                for choice in chunk.get("choices") or ():
                    for token, logprob in first_distribution(choice) if not merged else ():
                        text = names.get(token, token)
                        merged[text] = log_sum(merged.get(text), logprob)
                yield Piece("")

        call = Generation(first)
        try:
            async for _ in call:
                pass
        finally:
            await call.aclose()
        ranked = dict(sorted(merged.items(), key=lambda item: -item[1]))
        return NextToken(ranked, call.usage, call.waited_s)

    async def tokenize(self, text: str, *, control: bool = False) -> Segment:
        """See `Engine.tokenize`."""
        if self._endpoint.capabilities.token_prompts and self._endpoint.dialect.tokenize is not None:
            return await self._tokenizer.segment(text, control=control)
        return Segment(text if control else control_tokens.defused(text, self._may_be_control))

    async def reads_as_control(self, candidates: Collection[str]) -> Collection[str]:
        """See `Engine.reads_as_control`."""
        if self._endpoint.capabilities.token_prompts and self._endpoint.dialect.tokenize is not None:
            return await self._tokenizer.reads_as_control(candidates)
        return {text for text in candidates if self._may_be_control(text)}

    async def apply_template(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """See `Engine.apply_template`. Our own rendering where a template is configured."""
        options = {**self._settings.template_kwargs, **(template_kwargs or {})}
        if (template := self._endpoint.template) is not None:
            if len(messages) < _LARGE:
                return self._with_bos(render(template, messages, options, tools))
            return self._with_bos(await asyncio.to_thread(render, template, messages, options, tools))
        if not self._endpoint.dialect.render:
            raise ConfigError(
                f"the endpoint does not tell its chat template; set '{self.name}.chat_template' to chatml, "
                "or to the path of the model's tokenizer_config.json"
            )
        rendered: Any = {"messages": [dict(message) for message in messages]}
        if tools:
            rendered["tools"] = [dict(tool) for tool in tools]
        for route in self._endpoint.dialect.render:
            rendered = await self._transport.ask(route, rendered, self.model, options)
        return self._with_bos(str(rendered))

    async def running_requests(self) -> int | None:
        """How many requests the server works on, by its own count; None if it does not say."""
        route = self._endpoint.dialect.running
        return None if route is None else int(await self._transport.ask(route))

    async def aclose(self) -> None:
        """Close the connections, and the model if it lives in this process."""
        await self._transport.aclose()
        if self._on_close is not None:
            await self._on_close()

    def with_capabilities(self, capabilities: Capabilities) -> "HttpEngine":
        """The same engine, knowing more about what it can do."""
        endpoint = replace(self._endpoint, capabilities=capabilities)
        return HttpEngine(self._transport, self._settings, endpoint, self._on_close)

    def _body(self, prompt: Prompt, session: str) -> dict[str, Any]:
        if prompt.tokens is not None and prompt.tokens >= self.context_length:
            raise ContextOverflow(
                f"{prompt.tokens} tokens do not fit into {self.model}'s context of {self.context_length}",
                engine=self.name,
            )
        dialect = self._endpoint.dialect
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": prompt.ids if self._endpoint.capabilities.token_prompts else self._as_text(prompt),
            "stream": True,
            "stream_options": {"include_usage": True},
            **dialect.body,
            **self._settings.extra_body,
        }
        if dialect.session_field and session and self._endpoint.slots:
            body[dialect.session_field] = self._slot(session)
        return body

    def _with_bos(self, text: str) -> str:
        return text if text.startswith(self._endpoint.bos) else self._endpoint.bos + text

    def _as_text(self, prompt: Prompt) -> str:
        return control_tokens.joined([segment.text for segment in prompt.segments], self._may_be_control)

    def _may_be_control(self, text: str) -> bool:
        """Whether the model may have this control token, as far as can be told without its tokenizer."""
        written = self._template_writes
        return written is None or text in written or control_tokens.is_known(text)

    async def _asked_tokens(self, text: str, control: bool) -> list[int]:
        route = self._endpoint.dialect.tokenize
        return [] if route is None else await self._transport.ask(route, text, self.model, control)

    def _slot(self, session: str) -> int:
        """The cache slot of a conversation: its own if it has one, else the one unused for longest."""
        slot = self._slots.pop(session, None)
        if slot is None:
            full = len(self._slots) >= self._endpoint.slots
            slot = self._slots.popitem(last=False)[1] if full else len(self._slots)
        self._slots[session] = slot
        return slot

    async def _candidate_id(self, text: str) -> int | None:
        if text not in self._candidate_ids:
            ids = (await self.tokenize(text)).ids or ()
            self._candidate_ids[text] = ids[0] if len(ids) == 1 else None
        return self._candidate_ids[text]

    async def _pieces(
        self, body: Mapping[str, Any], prompt: Prompt, meter: Meter
    ) -> AsyncGenerator[Piece, None]:
        # Whoever has the last piece may close the call; the account, which follows it, must be in by then.
        last: list[Piece] = []
        try:
            async for chunk in self._metered(body, prompt, meter):
                for choice in chunk.get("choices") or ():
                    # The last chunk of a stopped call may carry the end token's id, which is no part of the
                    # text.
                    if choice.get("text") or (
                        self._endpoint.dialect.read_ids(choice, chunk) and meter.finish != "stop"
                    ):
                        for told in self._told(pieces(self._endpoint.dialect, choice, chunk)):
                            if meter.finish is None:
                                yield told
                            else:
                                last.append(told)
        except EngineError:
            if meter.finish is None:
                raise  # else only the account is lost
        for told in last:
            yield told

    def _told(self, told: list[Piece]) -> list[Piece]:
        """Without the word joiners of `control_tokens`, which a model copies with the text around them."""
        if self._endpoint.capabilities.token_prompts:
            return told
        return [replace(piece, text=piece.text.replace(control_tokens.JOINER, "")) for piece in told]

    async def _metered(
        self, body: Mapping[str, Any], prompt: Prompt, meter: Meter
    ) -> AsyncGenerator[Json, None]:
        """The chunks of a call; keeps `meter` up to date, so that a call cut short has its account too."""
        dialect = self._endpoint.dialect
        meter.usage = Usage(prompt_tokens=prompt.tokens)
        chunks = self._transport.stream(body, dialect.headers)
        try:
            async for chunk in chunks:
                usage, seen = meter.usage, meter.usage.generated_tokens
                for choice in chunk.get("choices") or ():
                    ids = dialect.read_ids(choice, chunk)
                    seen += len(ids) if ids is not None else bool(choice.get("text"))
                    # "abort" and the like leave the call unfinished.
                    if ended := _FINISH.get(str(choice.get("finish_reason"))):
                        meter.finish = ended
                told = inner(chunk, "usage")
                prefill, decode = dialect.read_timings(chunk)
                cached = dialect.read_cached(chunk)
                drafts, drafts_kept = dialect.read_token_drafts(chunk)
                meter.usage = Usage(
                    prompt_tokens=told.get("prompt_tokens", usage.prompt_tokens),
                    cached_tokens=usage.cached_tokens if cached is None else cached,
                    generated_tokens=told.get("completion_tokens", seen),
                    prefill_s=usage.prefill_s if prefill is None else prefill,
                    decode_s=usage.decode_s if decode is None else decode,
                    token_drafts=usage.token_drafts if drafts is None else drafts,
                    token_drafts_kept=usage.token_drafts_kept if drafts_kept is None else drafts_kept,
                )
                yield chunk
        finally:
            await chunks.aclose()
        if meter.finish is None:
            raise EngineUnavailable("the stream broke off before its end", engine=self.name)


def fingerprint(ids: Sequence[int]) -> str:
    """A short name for how a tokenizer splits a probe text."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]
