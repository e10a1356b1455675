"""Each model call of a metered engine is reported once, whatever becomes of it."""

from typing import Any

import pytest

from specreason.engines.metered import MeteredEngine
from specreason.engines.protocol import Engine, Finish, Prompt, Sampling, Usage
from specreason.engines.scripted import ScriptedEngine
from specreason.errors import EngineError, EngineUnavailable

Calls = list[tuple[Usage, float, Finish]]


def metered(**script: Any) -> tuple[Engine, Calls]:
    calls: Calls = []
    engine = ScriptedEngine("base", steps=["One and two.\n\n", "Three.\n\n"], **script)
    return MeteredEngine(engine, lambda usage, s, finish: calls.append((usage, s, finish))), calls


async def prompt_of(engine: Engine) -> Prompt:
    text = await engine.apply_template([{"role": "user", "content": "Count."}])
    return Prompt().plus(await engine.tokenize(text, control=True))


async def test_a_generation_is_reported_when_it_ends() -> None:
    engine, calls = metered(delay_s=0.001)
    prompt = await prompt_of(engine)
    call = engine.generate(prompt, sampling=Sampling(), max_tokens=100)
    texts = [piece.text async for piece in call]
    assert "".join(texts) == "One and two.\n\nThree.\n\n"
    ((usage, seconds, finish),) = calls
    assert usage == call.usage == Usage(prompt.tokens, prompt.tokens, len(texts))
    assert finish == call.finish == "stop"
    assert 0.001 * len(texts) <= seconds <= call.waited_s
    await call.aclose()
    assert len(calls) == 1


async def test_a_generation_that_is_cut_off_or_closed_is_reported_with_what_it_wrote() -> None:
    engine, calls = metered()
    cut = engine.generate(await prompt_of(engine), sampling=Sampling(), max_tokens=2)
    assert len([piece async for piece in cut]) == 2
    left = engine.generate(await prompt_of(engine), sampling=Sampling(), max_tokens=100)
    await anext(left)
    assert left.usage.generated_tokens == 1
    assert left.finish is None
    await left.aclose()
    assert [(usage.generated_tokens, finish) for usage, _, finish in calls] == [
        (2, "length"),
        (1, "cancelled"),
    ]
    assert left.finish == "cancelled"


async def test_a_generation_that_nobody_read_is_no_call() -> None:
    engine, calls = metered()
    call = engine.generate(await prompt_of(engine), sampling=Sampling(), max_tokens=100)
    await call.aclose()
    assert calls == []


async def test_a_failed_generation_is_reported_with_what_it_cost() -> None:
    engine, calls = metered(failures={0: EngineUnavailable("gone")}, fails_after=3)
    call = engine.generate(await prompt_of(engine), sampling=Sampling(), max_tokens=100)
    with pytest.raises(EngineUnavailable):
        _ = [piece async for piece in call]
    assert [(usage.generated_tokens, finish) for usage, _, finish in calls] == [(3, "cancelled")]


async def test_a_score_is_reported_and_a_failed_one_is_not() -> None:
    engine, calls = metered(failures={1: EngineError("no")}, delay_s=0.001)
    prompt = await prompt_of(engine)
    answer = await engine.next_token_logprobs(prompt)
    with pytest.raises(EngineError):
        await engine.next_token_logprobs(prompt)
    assert calls == [(answer.usage, answer.waited_s, "length")]


async def test_all_else_is_passed_on_and_costs_no_call() -> None:
    engine, calls = metered()
    assert (engine.name, engine.model, engine.context_length) == ("base", "scripted-base", 100_000)
    assert engine.capabilities.first_token_logprobs == 40
    assert engine.vocabulary == "words"
    assert await engine.reads_as_control({"<a>"}) == {"<a>"}
    engine.end_session("one")
    await engine.aclose()
    assert calls == []
