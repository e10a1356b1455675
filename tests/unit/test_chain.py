"""The chain: append-only prompts, and circles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.engines.protocol import Prompt, Segment
from specreason.engines.scripted import ScriptedEngine
from specreason.reasoning.chain import Chain, check_chain, read_by
from specreason.reasoning.repetition import repeats
from specreason.reasoning.steps import Step


def step(text: str) -> Step:
    return Step(text, (1, 2), 2, (), "boundary")


def chain_of(*texts: str) -> Chain:
    chain = Chain({"base": Prompt().plus(Segment("Q", (0,)))})
    for text in texts:
        chain = chain.plus(step(text), {"base": step(text).segment})
    return chain


@pytest.mark.parametrize("period", [1, 2, 3, 4])
def test_a_cycle_repeats(period: int) -> None:
    cycle = [f"step {n}\n\n" for n in range(period)]
    said = ["before\n\n", *cycle, *cycle]
    assert repeats(chain_of(*said[:-1]).recent, step(said[-1]))
    assert not repeats(chain_of(*said[:-2]).recent, step(said[-2])) or period == 1


def test_longer_cycles_and_lone_returns_are_no_circle() -> None:
    cycle = [f"{n}\n\n" for n in range(5)]
    assert not repeats(chain_of(*cycle, *cycle[:-1]).recent, step(cycle[-1]))
    assert not repeats(chain_of("a", "b", "c").recent, step("a"))
    assert not repeats(chain_of().recent, step("a"))


def test_white_space_does_not_hide_a_repetition() -> None:
    assert repeats(chain_of("a b\n\n").recent, step(" a  b\n"))


def test_steps_of_nothing_but_white_space_are_a_circle_too() -> None:
    assert not repeats(chain_of("a\n\n").recent, step("\n\n"))
    assert repeats(chain_of("a\n\n", "\n").recent, step(" \n\n"))


@pytest.mark.parametrize(
    "last",
    [Step("", (1,), 1, (), "think_close"), Step("\n", None, 1, (), "stop"), Step("", (), 0, (), "length")],
)
def test_an_empty_step_that_is_the_last_is_no_circle(last: Step) -> None:
    assert not repeats(chain_of("a\n\n", "\n").recent, last)


@given(st.lists(st.text(min_size=1), max_size=12))
def test_prompts_only_grow(texts: list[str]) -> None:
    chain = chain_of()
    for text in texts:
        after = chain.plus(step(text), {"base": step(text).segment})
        before = chain.prompts["base"].segments
        assert after.prompts["base"].segments[: len(before)] == before
        check_chain(after)
        chain = after
    assert chain.length == len(texts)
    assert chain.tokens == 2 * len(texts)
    assert chain.prompts["base"].text == "Q" + "".join(texts)


def test_a_chain_that_two_models_read_differently_is_found() -> None:
    with pytest.raises(AssertionError, match="base reads another step"):
        check_chain(chain_of().plus(step("a"), {"base": Segment("b")}))


async def test_a_shared_vocabulary_passes_the_tokens_on() -> None:
    author, reader = ScriptedEngine("small"), ScriptedEngine("base")
    assert await read_by(reader, step("a b"), author) == Segment("a b", (1, 2))


async def test_another_vocabulary_reads_the_text_anew() -> None:
    author, reader = ScriptedEngine("small"), ScriptedEngine("base", vocabulary="other")
    assert await read_by(reader, step("a b"), author) == await reader.tokenize("a b")
    unknown = Step("a b", None, 2, (), "boundary")
    assert await read_by(author, unknown, author) == await author.tokenize("a b")


async def test_a_text_only_reader_gets_text() -> None:
    reader = ScriptedEngine("base", token_ids=False)
    assert await read_by(reader, step("a b"), ScriptedEngine("small")) == Segment("a b")
