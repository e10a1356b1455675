"""An engine behind an OpenAI-compatible completions endpoint: vLLM, SGLang, llama-server and their like."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from specreason.config import EngineSettings
from specreason.engines import chunks as read
from specreason.engines import control_tokens
from specreason.engines.completions import Completions
from specreason.engines.dialects import Dialect
from specreason.engines.protocol import (
    Capabilities,
    Generation,
    Message,
    Meter,
    NextToken,
    Piece,
    Prompt,
    Sampling,
    Segment,
)
from specreason.engines.reading import Json
from specreason.engines.slots import Slots
from specreason.engines.templates import Template, render, written_by
from specreason.engines.tokenizing import Tokenizer
from specreason.engines.transport import Transport
from specreason.errors import ConfigError, ContextOverflow, EngineRejected

_LARGE = 256  # messages from which on a conversation is rendered beside the event loop


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
        self._slots = Slots(endpoint.slots if self.names_slots else 0)
        self._candidate_ids: dict[str, int | None] = {}
        self._completions = Completions(
            transport, endpoint.dialect, self._slots, text_prompts=not endpoint.capabilities.token_prompts
        )
        self._tokenizer = Tokenizer(self._asked_tokens, apart=endpoint.dialect.reads_control_as_text)
        self._template_writes = written_by(endpoint.template) if endpoint.template else None

    @property
    def name(self) -> str:
        return self._transport.name

    @property
    def model(self) -> str:
        return self._endpoint.model

    @property
    def context_length(self) -> int:
        return self._endpoint.context_length

    @property
    def capabilities(self) -> Capabilities:
        """As probed when the engine was connected."""
        return self._endpoint.capabilities

    @property
    def vocabulary(self) -> str:
        return self._endpoint.vocabulary

    @property
    def dialect(self) -> str:
        """The name of the dialect that the endpoint speaks."""
        return self._endpoint.dialect.name

    @property
    def names_slots(self) -> bool:
        """Whether requests say which of the server's cache slots they go to."""
        return bool(self._endpoint.dialect.session_field and self._endpoint.slots)

    def generate(
        self,
        prompt: Prompt,
        *,
        sampling: Sampling,
        max_tokens: int,
        stop: Sequence[str] = (),
        session: str = "",
    ) -> Generation:
        """Sends POST /v1/completions with `stream`."""
        body = self._body(prompt) | {
            "max_tokens": max_tokens,
            "temperature": sampling.temperature,
        }
        if sampling.top_p < 1:  # some servers refuse the 1 that is their default
            body["top_p"] = sampling.top_p
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        body |= self._narrowed(sampling)
        if stop:
            body["stop"] = list(stop)
        if self._endpoint.capabilities.speculates and self._endpoint.dialect.speculating:
            body |= self._endpoint.dialect.speculating
        elif self._endpoint.capabilities.first_token_logprobs:
            body["logprobs"] = 1  # the draft's own log-probabilities are a signal that costs nothing
        return Generation(lambda meter: self._completions.pieces(body, prompt, session, meter))

    def _narrowed(self, sampling: Sampling) -> Json:
        """What narrows the choice of tokens; what narrows nothing only to servers that know the field."""
        dialect = self._endpoint.dialect
        ranks: dict[str, float | None] = {"top_k": sampling.top_k, "min_p": sampling.min_p}
        said: dict[str, Any] = {
            name: value
            for name, value in ranks.items()
            if value is not None and (value > 0 or dialect.draws_by_rank)
        }
        if (constraint := sampling.constraint) is not None:
            if constraint.kind not in dialect.constraints:
                raise ConfigError(
                    f"the server of '{self.name}' ({dialect.name}) does not support answers that are "
                    f"constrained by {constraint.kind}"
                )
            said |= dialect.constraints[constraint.kind](constraint.value)
        return said

    async def next_token_logprobs(
        self, prompt: Prompt, *, candidates: Sequence[str] = (), session: str = ""
    ) -> NextToken:
        """Streamed, so that cancelling it stops the server's work."""
        body = self._body(prompt) | {
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
            async for _, choices in self._completions.metered(body, prompt, session, meter):
                for choice in choices:
                    for token, logprob in read.first_distribution(choice) if not merged else ():
                        text = names.get(token, token)
                        merged[text] = read.log_sum(merged.get(text), logprob)
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
        if self._endpoint.capabilities.token_prompts and self._endpoint.dialect.tokenize is not None:
            return await self._tokenizer.segment(text, control=control)
        return Segment(text if control else control_tokens.defused(text, self._may_be_control))

    async def reads_as_control(self, candidates: Collection[str]) -> Collection[str]:
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
        """Our own rendering where a template is configured."""
        options = {**self._settings.template_kwargs, **(template_kwargs or {})}
        if (template := self._endpoint.template) is not None:
            if len(messages) < _LARGE:
                return self._with_bos(render(template, messages, options, tools))
            return self._with_bos(await asyncio.to_thread(render, template, messages, options, tools))
        if not self._endpoint.dialect.render:
            raise ConfigError(
                f"the server does not provide its chat template; set '{self.name}.chat_template' to chatml, "
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
        if route is None:
            return None
        try:
            return int(await self._transport.ask(route, model=self.model))
        except EngineRejected:
            return None  # not switched on, or not passed on by a gateway

    def end_session(self, session: str) -> None:
        self._slots.end(session)

    async def aclose(self) -> None:
        """Close the connections, and the model if it lives in this process."""
        await self._transport.aclose()
        if self._on_close is not None:
            await self._on_close()

    def with_capabilities(self, capabilities: Capabilities) -> "HttpEngine":
        """The same engine, knowing more about what it can do."""
        endpoint = replace(self._endpoint, capabilities=capabilities)
        return HttpEngine(self._transport, self._settings, endpoint, self._on_close)

    def _body(self, prompt: Prompt) -> dict[str, Any]:
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
            **dialect.body,
            **self._settings.extra_body,
        }
        if self._endpoint.capabilities.usage:
            body.setdefault("stream_options", {"include_usage": True})
        return body

    def _with_bos(self, text: str) -> str:
        return text if text.startswith(self._endpoint.bos) else self._endpoint.bos + text

    def _as_text(self, prompt: Prompt) -> str:
        return control_tokens.joined([segment.text for segment in prompt.segments], self._may_be_control)

    def _may_be_control(self, text: str) -> bool:
        """Whether the model may have this control token, as far as can be known without its tokenizer."""
        written = self._template_writes
        return written is None or text in written or control_tokens.is_known(text)

    async def _asked_tokens(self, text: str, control: bool) -> list[int]:
        route = self._endpoint.dialect.tokenize
        return [] if route is None else await self._transport.ask(route, text, self.model, control)

    async def _candidate_id(self, text: str) -> int | None:
        if text not in self._candidate_ids:
            ids = (await self.tokenize(text)).ids or ()
            self._candidate_ids[text] = ids[0] if len(ids) == 1 else None
        return self._candidate_ids[text]


def fingerprint(ids: Sequence[int]) -> str:
    """A short name for how a tokenizer splits a probe text."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]
