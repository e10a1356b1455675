"""From chat messages to the prompt that a model expects, with the assistant's turn (and thinking) opened.

The template is rendered with marks in place of the messages' texts; what it wrote around the marks is
tokenised with its control tokens, what belongs between is tokenised as plain text. So whatever a user or a
model writes, it cannot end a turn.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from specreason.config import EngineSettings
from specreason.engines.protocol import Engine, Message, Prompt, Segment
from specreason.errors import ConfigError


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
    engine: Engine, messages: Sequence[Message], settings: EngineSettings, *, thinking: bool
) -> OpenTurn:
    """Render `messages` with the model's own template and open the assistant's turn (and thinking block).

    Raises ConfigError if the template drops a message or a template must be named.
    """
    literals = await _literals(engine, messages)
    segments = await _woven(engine, literals, [message["content"] for message in messages])
    if not thinking:
        return OpenTurn(Prompt().plus(*segments), thinking=False)
    if not literals[-1].rstrip().endswith(settings.think_open):
        segments.append(await engine.tokenize(f"{settings.think_open}\n", control=True))
    return OpenTurn(
        Prompt().plus(*segments),
        thinking=True,
        close=await engine.tokenize(f"{settings.think_close}\n\n", control=True),
        close_after_text=await engine.tokenize(f"\n{settings.think_close}\n\n", control=True),
    )


async def next_turn(engine: Engine, messages: Sequence[Message], question: str) -> tuple[Segment, ...]:
    """What follows the open assistant's turn of `messages` if the user then asks `question`.

    The assistant's turn is closed, the question stands in a turn of its own, and the assistant's next turn
    is opened.
    """
    later = [*messages, {"role": "assistant", "content": ""}, {"role": "user", "content": question}]
    literals = await _literals(engine, later)
    return tuple(await _woven(engine, literals[-2:], [question]))


async def _woven(engine: Engine, literals: Sequence[str], contents: Sequence[str]) -> list[Segment]:
    segments: list[Segment] = []
    for n, literal in enumerate(literals):
        if literal:
            segments.append(await engine.tokenize(literal, control=True))
        if n < len(contents) and contents[n]:
            segments.append(await engine.tokenize(contents[n]))
    return segments


async def _literals(engine: Engine, messages: Sequence[Message]) -> list[str]:
    """What the template writes before, between and after the messages' texts: one more than messages."""
    nonce = secrets.token_hex(8)
    marks = [f"mark{nonce}number{n}end" for n in range(len(messages))]
    marked = [{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)]
    rest = await engine.apply_template(marked)
    literals: list[str] = []
    for message, mark in zip(messages, marks, strict=True):
        before, found, rest = rest.partition(mark)
        if not found or mark in rest:
            raise ConfigError(
                f"the chat template of {engine.model} does not write the {message['role']} message exactly "
                f"once; set '{engine.name}.chat_template' to another one"
            )
        literals.append(before)
    return [*literals, rest]


async def thinks(engine: Engine, settings: EngineSettings) -> bool:
    """Whether the model thinks in a block: its template opens one, or cuts one from earlier turns."""
    if settings.thinking != "auto":
        return settings.thinking == "on"
    tail = (await _literals(engine, [{"role": "user", "content": ""}]))[-1]
    if settings.think_close in tail:  # opened and closed at once: thinking was switched off
        return False
    if tail.rstrip().endswith(settings.think_open):
        return True
    nonce = secrets.token_hex(8)
    earlier = f"{settings.think_open}\n{nonce}thought\n{settings.think_close}\n\n{nonce}said"
    rendered = await engine.apply_template(
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": earlier},
            {"role": "user", "content": "b"},
        ]
    )
    return f"{nonce}said" in rendered and f"{nonce}thought" not in rendered
