"""What a model's chat template does, found out by rendering short conversations: once for an engine."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from specreason.config import EngineSettings
from specreason.engines import control_tokens
from specreason.engines.metered import MeteredEngine
from specreason.engines.protocol import Engine, Message
from specreason.errors import ConfigError, EngineRejected

# Texts that no template writes of itself, and that it passes on whatever it does with texts.
_ASKED, _THOUGHT, _SAID = "8203467511", "3950126487", "7418823096"


@dataclass(frozen=True, slots=True)
class Form:
    """`parts`: it takes content as a list of parts. `thinks`: the model thinks in a block.

    `opening`: what opens that block where the template leaves it to the model. `after_close`: what stands
    between the block's end and the answer. `field`: it knows thinking of earlier turns only apart from what
    was said, as `reasoning_content`.
    """

    parts: bool
    thinks: bool
    opening: str
    after_close: str
    field: bool


_known: WeakKeyDictionary[Any, dict[tuple[str, str], Form]] = WeakKeyDictionary()


async def form_of(engine: Engine, settings: EngineSettings) -> Form:
    """The form of `engine`'s template. Raises ConfigError if it does not write the user's message."""
    tags = (settings.think_open, settings.think_close)
    if isinstance(engine, MeteredEngine):
        engine = engine.engine  # which lives longer, so that its form is found out once
    try:
        known = _known.setdefault(engine, {})
    except TypeError:  # an engine of the caller's own, which cannot be a key
        known = dict[tuple[str, str], Form]()
    if tags not in known:
        known[tags] = await _learned(engine, *tags)
    return known[tags]


def is_tag(text: str) -> bool:
    """Whether a thinking mark is one tag, as most are; of several tokens none stands on a line of its own."""
    return control_tokens.candidates(text) == {text}


def in_form(message: Message, *, parts: bool) -> Message:
    """The message with its text as the template takes it."""
    content: Any = message.get("content")
    if isinstance(content, list):  # parts already
        return message
    text = content or ""
    return {**message, "content": [{"type": "text", "text": text}] if parts else text}


async def _learned(engine: Engine, opens: str, closes: str) -> Form:
    asked: Message = {"role": "user", "content": _ASKED}
    parts, first = await _first_turn(engine, asked)
    earlier: Message = {
        "role": "assistant",
        "content": f"{opens}\n{_THOUGHT}\n{closes}\n\n{_SAID}",
    }
    apart: Message = {"role": "assistant", "content": _SAID, "reasoning_content": _THOUGHT}
    within, beside = await asyncio.gather(
        *(_rendered(engine, [asked, turn, asked], parts=parts) for turn in (earlier, apart))
    )
    tail = first.rpartition(_ASKED)[2].strip()
    cut = _SAID in within and _THOUGHT not in within
    own = beside.partition(_SAID)[0].rpartition(_ASKED)[2]  # what it writes before an assistant's text
    writes_block = opens in own
    demanded = opens in first and closes in first  # a system message of its own that asks for the block
    return Form(
        parts=parts,
        thinks=not tail.endswith(closes) and (tail.endswith(opens) or cut or writes_block or demanded),
        opening=_opening(own, first.rpartition(_ASKED)[2], opens, closes),
        after_close=_after_close(own, closes),
        field=writes_block and _THOUGHT in within and opens in within.partition(_THOUGHT)[0],
    )


async def _first_turn(engine: Engine, asked: Message) -> tuple[bool, str]:
    """Whether the template takes content as parts only, and how it writes the user's turn."""
    refused: ConfigError | None = None
    for parts in (False, True):
        try:
            text = await engine.apply_template([in_form(asked, parts=parts)])
        except ConfigError as error:
            refused = refused or error
            continue
        if _ASKED in text:
            return parts, text
    raise refused or ConfigError(
        f"the chat template of {engine.model} does not write the user message; set "
        f"'{engine.name}.chat_template' to another one"
    )


async def _rendered(engine: Engine, messages: Sequence[Message], *, parts: bool) -> str:
    try:
        return await engine.apply_template([in_form(message, parts=parts) for message in messages])
    except (ConfigError, EngineRejected):
        return ""  # a template for one turn only


def _opening(earlier: str, now: str, opens: str, closes: str) -> str:
    """What opens a thinking block after the opened turn `now`, as turns before it show; else tag and line."""
    usual = f"{opens}\n" if is_tag(opens) else opens
    stem = now.rstrip()
    gap = now[len(stem) :]
    before, found, rest = earlier.partition(opens)
    _, turn, lead = before.rpartition(stem) if stem else ("", "", "")
    if not found or not turn or lead.strip() or not lead.startswith(gap):
        return usual
    inside = rest.partition(closes)[0].partition(_THOUGHT)[0]
    if inside.strip():
        return usual
    # An empty block shows both of its ends.
    return (
        f"{lead.removeprefix(gap)}{opens}{inside if _THOUGHT in rest else inside[: (len(inside) + 1) // 2]}"
    )


def _after_close(earlier: str, closes: str) -> str:
    _, found, after = earlier.rpartition(closes)
    return after if found and not after.strip() else "\n\n"
