"""The widely used templates: what we send is what jinja makes of it, and nobody forges a turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import oracle
import pytest
from fetch import PACKAGES, folder

from specreason.config import EngineSettings
from specreason.engines import control_tokens, templates
from specreason.engines.chat_format import next_turn, open_turn, thinks
from specreason.engines.protocol import Message
from specreason.engines.scripted import ScriptedEngine
from specreason.engines.templates import Template, render
from specreason.errors import ConfigError

NAMES = [
    name.removesuffix(".jinja")
    for package in PACKAGES
    for name in package.members.values()
    if name.endswith(".jinja")
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
USER, AGAIN = "What is 1 + 1? ", "Then what is a[idx] < 3, in a vector<int>?"
TURNS: Mapping[str, list[Message]] = {
    "one turn": [{"role": "user", "content": USER}],
    "thinking within": [
        {"role": "user", "content": USER},
        {"role": "assistant", "content": "<think>\nOne and one.\n</think>\n\nIt is 2.\n"},
        {"role": "user", "content": AGAIN},
    ],
    "thinking beside": [
        {"role": "user", "content": USER},
        {"role": "assistant", "reasoning_content": "One and one.", "content": "It is 2."},
        {"role": "user", "content": AGAIN},
    ],
    "a system message": [
        {"role": "system", "content": " Be brief.\n"},
        {"role": "user", "content": USER},
        {"role": "assistant", "content": "It is 2."},
        {"role": "user", "content": AGAIN},
    ],
}
# What opens thinking where the template leaves it to the model; the others open it, or do not think.
OPENED = {
    "glm-4.6": "\n<think>",
    "kimi-k2-thinking": "<think>",
    "phi-4-reasoning": "<think>\n",
    "qwen3": "<think>\n",
    "smollm3": "<think>\n",
}


class Rendering(ScriptedEngine):
    """Renders with a template that lies in the cache."""

    template = Template("", {})

    async def apply_template(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        return render(self.template, messages, template_kwargs or {}, tools)


@dataclass(frozen=True)
class Made:
    """A template by its name here, and an engine that renders with it."""

    name: str
    source: str
    engine: Rendering


def today(_: str) -> str:
    return "2026-11-28"


@pytest.fixture(params=NAMES)
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setattr(templates, "_strftime_now", today)
    path = folder() / f"{request.param}.jinja"
    if not path.exists():
        pytest.skip(f"{path} is not there: the package registry did not have it (make templates)")
    source = path.read_text(encoding="utf-8")
    engine = Rendering("base", context_length=4096)
    engine.template = Template(source, TOKENS)
    return Made(request.param, source, engine)


@pytest.mark.parametrize("turns", TURNS)
async def test_what_is_sent_is_what_jinja_makes_of_it(made: Made, turns: str) -> None:
    engine, settings, messages = made.engine, EngineSettings(), TURNS[turns]
    if made.name == "kimi-k2-thinking" and turns == "thinking within":
        # It knows earlier thinking as a field only; within the text it would stay, after an empty block.
        apart = {**messages[1], "reasoning_content": "One and one.", "content": "It is 2.\n"}
        expected = oracle.rendered(made.source, [messages[0], apart, messages[2]], TOKENS)
    else:
        try:
            expected = oracle.rendered(made.source, messages, TOKENS)
        except oracle.TemplateError as error:
            assert turns == "a system message"
            pytest.skip(f"the template refuses it: {error}")
    thinking = await thinks(engine, settings)
    turn = await open_turn(engine, messages, settings, thinking=thinking)
    assert turn.prompt.text == expected + OPENED.get(made.name, "")
    # It is cut where what users wrote may be a control token, and nowhere else.
    told = "".join(m["content"] for m in messages if m["role"] == "user")
    assert len(turn.prompt.segments) == 1 + len(control_tokens.candidates(told))


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
async def test_nobody_forges_a_control_token(made: Made, role: str) -> None:
    engine, settings = made.engine, EngineSettings()
    plain: list[Message] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    written = oracle.rendered(made.source, plain, TOKENS)
    forged = control_tokens.candidates(written) | {"</s>", "<s>"}
    tags = {"<think>", "</think>"} if role == "assistant" else set[str]()  # these it may write
    evil = "x".join(sorted(forged - tags)) + "<|im_"
    messages = [{**m, "content": m["content"] + evil} if m["role"] == role else m for m in plain]
    if role == "system":
        messages = [{"role": "system", "content": evil}, *plain]
        plain = [{"role": "system", "content": "a"}, *plain]
    try:
        honest = await open_turn(engine, plain, settings, thinking=False)
        turn = await open_turn(engine, messages, settings, thinking=False)
    except ConfigError as error:
        pytest.skip(f"the template refuses it: {error}")
    assert role != "user" or evil in turn.prompt.text
    for token in forged:
        seen = [sum(s.text.count(token) for s in t.prompt.segments) for t in (honest, turn)]
        assert seen[0] == seen[1], token


async def test_a_question_follows_in_a_turn_of_its_own(made: Made) -> None:
    engine = made.engine
    later: list[Message] = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "8888"},
        {"role": "user", "content": "Sure?"},
    ]
    expected = oracle.rendered(made.source, later, TOKENS).rpartition("8888")[2]
    segments = await next_turn(engine, TURNS["one turn"], "Sure?")
    assert "".join(segment.text for segment in segments) == expected


async def test_a_prefilled_turn_ends_with_its_text(made: Made) -> None:
    engine = made.engine
    messages: list[Message] = [
        {"role": "user", "content": "Name a number."},
        {"role": "assistant", "content": "One is 4444"},
    ]
    expected = oracle.rendered(made.source, messages, TOKENS).rpartition("4444")[0] + "4444"
    turn = await open_turn(engine, messages, EngineSettings(), thinking=True)
    assert turn.prompt.text == expected
    assert not turn.thinking
