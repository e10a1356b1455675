"""Steps from pieces: the cut of a text into pieces never shows."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.engines.protocol import Piece
from specreason.reasoning.steps import Step, StepSplitter, normalised

CLOSE = "</think>"
FRAGMENTS = ["a", " b", "\n", "\n\n", ".\n\n", CLOSE, "</th", "ink>", " ", "é", "\n\n\nc"]
texts = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=14).map("".join)


def split(pieces: Sequence[Piece], *, cap: int = 10_000, close: str | None = CLOSE) -> list[Step]:
    """All steps up to the one that closes thinking."""
    splitter = StepSplitter("\n\n", close, cap)
    steps: list[Step] = []
    for piece in pieces:
        for step in splitter.feed(piece):
            steps.append(step)
            if step.end == "think_close":
                return steps
    last = splitter.finish("stop")
    return [*steps, last] if last else steps


def bare(*texts: str) -> list[Piece]:
    return [Piece(text) for text in texts]


def tokens(*texts: str) -> list[Piece]:
    return [Piece(text, (n,), (-0.5,)) for n, text in enumerate(texts)]


def shape(steps: Sequence[Step]) -> list[tuple[str, str]]:
    return [(step.text, step.end) for step in steps]


@given(texts, st.data())
def test_any_cut_of_a_text_gives_the_same_steps(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    pieces = bare(*(text[a:b] for a, b in itertools.pairwise(cuts)))
    assert shape(split(pieces)) == shape(split(bare(*text)))


@given(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=14))
def test_the_steps_of_tokens_join_to_what_was_written_before_the_close(fragments: list[str]) -> None:
    steps = split(tokens(*fragments))
    text = "".join(fragments)
    assert "".join(step.text for step in steps) == text.partition(CLOSE)[0]
    assert sum(step.tokens for step in steps) == sum(len(step.logprobs) for step in steps)
    if CLOSE not in text and all(step.ids is not None for step in steps):
        assert [i for step in steps for i in step.ids or ()] == list(range(len(fragments)))


@given(st.lists(st.sampled_from([f for f in FRAGMENTS if "<" not in f and ">" not in f]), min_size=1))
def test_a_step_of_tokens_ends_with_the_token_that_completes_the_delimiter(fragments: list[str]) -> None:
    at = 0
    for step in split(tokens(*fragments)):
        assert step.ids is not None
        before_last = "".join(fragments[at : step.ids[-1]])
        assert "\n\n" not in before_last.lstrip()
        assert ("\n\n" in step.text.lstrip()) == (step.end == "boundary")
        at = step.ids[-1] + 1


def test_the_close_may_be_spread_over_tokens() -> None:
    (step,) = split(tokens("So", " 4.", "</", "think", ">"))
    assert (step.text, step.end, step.tokens, step.ids) == ("So 4.", "think_close", 5, (0, 1))


def test_a_close_in_the_middle_of_a_token_leaves_the_ids_unknown() -> None:
    (step,) = split(tokens("So", " 4.</think>\n\n"))
    assert (step.text, step.end, step.ids) == ("So 4.", "think_close", None)


def test_a_bare_close_makes_an_empty_step() -> None:
    assert shape(split(tokens(CLOSE))) == [("", "think_close")]


def test_without_a_thinking_block_the_close_is_text() -> None:
    assert shape(split(bare("a</think>\n\nb"), close=None)) == [("a</think>\n\n", "boundary"), ("b", "stop")]


def test_a_step_is_cut_at_the_cap() -> None:
    steps = split(tokens("a", " b", " c", " d", " e"), cap=2)
    assert shape(steps) == [("a b", "length"), (" c d", "length"), (" e", "stop")]


def test_a_delimiter_at_the_cap_is_a_boundary() -> None:
    assert shape(split(tokens("a", "\n\n"), cap=2)) == [("a\n\n", "boundary")]


def test_leading_blank_lines_belong_to_the_first_step() -> None:
    steps = split(tokens("\n\n", "\n\n", "a", "\n\n", "b"))
    assert shape(steps) == [("\n\n\n\na\n\n", "boundary"), ("b", "stop")]


def test_white_space_alone_is_no_step_until_the_stream_ends() -> None:
    assert shape(split(tokens("\n\n", " "))) == [("\n\n ", "stop")]


@pytest.mark.parametrize(
    "pieces",
    [
        [Piece("a", (1,)), Piece("", (2,)), Piece("\n\n", (3,))],
        [Piece("a", (1,)), Piece("<|im_end|>", (2,)), Piece("\n\n", (3,))],
        [Piece("a", (1,)), Piece("\n\n")],
    ],
    ids=["token without text", "control token", "unknown ids"],
)
def test_ids_that_cannot_be_trusted_are_none(pieces: list[Piece]) -> None:
    (step,) = split(pieces)
    assert step.ids is None
    assert step.segment.text == step.text


def test_code_that_looks_like_a_control_token_keeps_its_ids() -> None:
    (step,) = split([Piece("vector<", (1,)), Piece("int", (2,)), Piece(">", (3,))])
    assert step.ids == (1, 2, 3)


def test_an_unfinished_step_says_why_it_ended() -> None:
    splitter = StepSplitter("\n\n", CLOSE, 100)
    assert splitter.empty
    assert splitter.finish("stop") is None
    splitter.feed(Piece("a", (1,)))
    assert not splitter.empty
    last = splitter.finish("length")
    assert last is not None
    assert last.end == "length"
    assert splitter.empty


def test_white_space_does_not_tell_steps_apart() -> None:
    assert normalised(" a\n  b \n\n") == normalised("a b")
