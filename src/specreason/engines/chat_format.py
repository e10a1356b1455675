"""From chat messages to the prompt that a model expects, with the assistant's turn (and thinking) opened.

The template renders the messages as they are, since it reads them: it cuts earlier thinking, trims, heeds
switches. Only inside texts that the tokenizer would read as control tokens stands a random guard. There the
rendered text is cut, and the pieces are tokenised apart: whatever a user or a model writes, it ends no
turn. docs/decisions/0013-guarded-rendering.md
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from specreason.config import EngineSettings
from specreason.engines import control_tokens
from specreason.engines.protocol import Engine, Message, Prompt, Segment
from specreason.engines.template_form import Form, form_of, in_form, is_tag
from specreason.engines.tokenizing import MOST_PARTS
from specreason.errors import ConfigError, ContextOverflow

_AT_ONCE = 100  # messages that are looked at before others get their turn
_LONGEST_TOKEN = 256  # characters; no tokenizer has longer ones


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A prompt that ends where the model goes on writing.

    `thinking`: inside an open thinking block. `close`: what ends that block when the chain ends in a line
    break, `close_after_text` when it does not; None without a block.
    """

    prompt: Prompt
    thinking: bool
    close: Segment | None = None
    close_after_text: Segment | None = None


async def open_turn(
    engine: Engine,
    messages: Sequence[Message],
    settings: EngineSettings,
    *,
    thinking: bool,
    tools: Sequence[Mapping[str, Any]] = (),
    template_kwargs: Mapping[str, Any] | None = None,
) -> OpenTurn:
    """Render `messages` with the model's own template and open the assistant's turn (and thinking block).

    Where the conversation itself switches thinking off, no block is open. If it ends with an assistant's
    message, the prompt ends with the text of that: it is the beginning of the answer and there is no
    thinking, unless it opens a thinking block and leaves it open. `tools` and `template_kwargs` are those of
    `Engine.apply_template`. Raises ConfigError if the template refuses the conversation or must be named,
    ContextOverflow, before any work, for what surely does not fit.
    """
    _check_room(engine, messages)
    form = await form_of(engine, settings)
    messages = [_split(message, settings) for message in messages] if form.field else messages
    pieces = await _pieces(engine, _Asked(messages, tools, template_kwargs or {}, _tags(settings)), form)
    opened = pieces[-1].rstrip()
    if messages[-1]["role"] == "assistant":
        thinking = thinking and _left_open(messages[-1], settings)
    elif opened.endswith(settings.think_close):  # opened and closed at once: thinking was switched off
        thinking = False
    elif opened.endswith(settings.think_open):
        pieces[-1] += "" if thinking else f"\n{settings.think_close}\n\n"
    elif thinking:
        pieces[-1] += form.opening
    prompt = Prompt().plus(*await _tokenised(engine, pieces))
    if not thinking:
        return OpenTurn(prompt, thinking=False)
    close = f"{settings.think_close}{form.after_close}"
    return OpenTurn(
        prompt,
        thinking=True,
        close=await engine.tokenize(close, control=True),
        close_after_text=await engine.tokenize(
            f"\n{close}" if is_tag(settings.think_close) else close, control=True
        ),
    )


async def next_turn(engine: Engine, messages: Sequence[Message], question: str) -> tuple[Segment, ...]:
    """What follows the open assistant's turn of `messages` if the user then asks `question`.

    The assistant's turn is closed, the question stands in a turn of its own, and the assistant's next turn
    is opened.
    """
    form = await form_of(engine, EngineSettings())
    said = _random()
    # Templates may write the system message again before the last question; no other one matters here.
    later = [
        *(message for message in messages[:1] if message["role"] == "system"),
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": said},
        {"role": "user", "content": question},
    ]
    pieces = await _pieces(engine, _Asked(later), form)
    last = next((n for n in reversed(range(len(pieces))) if said in pieces[n]), None)
    if last is None:
        raise ConfigError(
            f"the chat template of {engine.model} does not write the assistant message; set "
            f"'{engine.name}.chat_template' to another one, or 'reasoning.judge_prompt' to inline"
        )
    return await _tokenised(engine, [pieces[last].rpartition(said)[2], *pieces[last + 1 :]])


async def thinks(engine: Engine, settings: EngineSettings) -> bool:
    """Whether the model thinks in a block: its template opens one, or cuts one from earlier turns."""
    if settings.thinking != "auto":
        return settings.thinking == "on"
    return (await form_of(engine, settings)).thinks


@dataclass(frozen=True, slots=True)
class _Asked:
    """A conversation to be rendered. `tags`: those that a template may read in what the assistant said."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    template_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tags: frozenset[str] = frozenset()


async def _pieces(engine: Engine, asked: _Asked, form: Form) -> list[str]:
    """The rendered conversation, cut inside every control token that is not the template's own.

    Of a conversation that ends with the assistant's message nothing follows that message's text.
    """
    guard, end = _random(), _random()
    messages = [in_form(message, parts=form.parts) for message in asked.messages]
    control = await _control_tokens(engine, [*messages, *asked.tools, asked.template_kwargs])

    def guarded(value: Any, spared: Collection[str] = ()) -> Any:
        def is_control(text: str) -> bool:
            return text in control and text not in spared

        return _mapped(value, lambda text: control_tokens.guarded(text, is_control, guard, tags=bool(spared)))

    safe: list[Message] = []
    async for message in _one_by_one(messages):
        changed = guarded(message)
        if message["role"] == "assistant":
            changed = {**changed, "content": guarded(message["content"], asked.tags)}
        safe.append(changed)
    prefilled = messages[-1]["role"] == "assistant"
    if prefilled:
        safe[-1] = {**safe[-1], "content": _ended(safe[-1]["content"], end)}
    text = await engine.apply_template(
        safe,
        tools=[guarded(tool) for tool in asked.tools],
        template_kwargs={name: guarded(value) for name, value in asked.template_kwargs.items()},
    )
    if prefilled:
        text, found, _ = text.rpartition(end)
        if not found:
            raise ConfigError(f"the chat template of {engine.model} does not write the assistant message")
    pieces = text.split(guard)
    return pieces if len(pieces) <= MOST_PARTS else [control_tokens.JOINER.join(pieces)]


async def _control_tokens(engine: Engine, values: Sequence[Any]) -> Collection[str]:
    found: set[str] = set()

    def collect(text: str) -> str:
        found.update(control_tokens.candidates(text))
        return text

    async for value in _one_by_one(values):
        _mapped(value, collect)
    return await engine.reads_as_control(found) if found else ()


async def _one_by_one(values: Sequence[Any]) -> AsyncGenerator[Any]:
    """The values; whatever their number, others get their turn on the event loop."""
    for n, value in enumerate(values):
        if n % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        yield value


async def _tokenised(engine: Engine, pieces: Sequence[str]) -> tuple[Segment, ...]:
    texts = [piece for piece in pieces if piece]
    return tuple(await asyncio.gather(*(engine.tokenize(text, control=True) for text in texts)))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with every text in it changed, the names of fields too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value)
        return {_mapped(key, change): _mapped(inner, change) for key, inner in entries.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(inner, change) for inner in cast("Sequence[Any]", value)]
    return value


def _ended(content: Any, mark: str) -> Any:
    """The content with `mark` behind its text."""
    if isinstance(content, str):
        return content + mark
    *before, last = cast("list[dict[str, Any]]", content)
    return [*before, {**last, "text": f"{last['text']}{mark}"}]


def _split(message: Message, settings: EngineSettings) -> Message:
    """What an assistant thought, taken out of what it said: as a field of its own."""
    content: Any = message.get("content")
    if message["role"] != "assistant" or not isinstance(content, str) or "reasoning_content" in message:
        return message
    thought, closed, said = content.rpartition(settings.think_close)
    if not closed:
        return message
    thought = thought.partition(settings.think_open)[2] or thought
    return {**message, "reasoning_content": thought.strip(), "content": said.lstrip()}


def _check_room(engine: Engine, messages: Sequence[Message]) -> None:
    """A message takes a token at least, and so do so many characters."""
    length = sum(len(message.get("content") or "") for message in messages)
    if max(len(messages), length // _LONGEST_TOKEN) >= engine.context_length:
        raise ContextOverflow(
            f"{len(messages)} messages of {length} characters do not fit into {engine.model}'s context of "
            f"{engine.context_length} tokens",
            engine=engine.name,
        )


def _left_open(message: Message, settings: EngineSettings) -> bool:
    """Whether an assistant's message ends inside a thinking block."""
    _, opened, thought = str(message.get("content") or "").rpartition(settings.think_open)
    return bool(opened) and settings.think_close not in thought


def _tags(settings: EngineSettings) -> frozenset[str]:
    """Thinking tags, where each is one token: one that closes a turn too is no mere tag."""
    tags = {settings.think_open, settings.think_close, "<think>", "</think>"}
    return frozenset(tag for tag in tags if is_tag(tag))


def _random() -> str:
    """Digits: templates, JSON and tokenizers pass them on unchanged."""
    return str(10**23 + secrets.randbelow(10**23))
