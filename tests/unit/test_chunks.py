"""What chunks tell, as vLLM 0.32 writes them while it speculates: several tokens in one."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from specreason.engines.chunks import pieces
from specreason.engines.dialects import VLLM
from specreason.engines.protocol import Piece


def choice(text: str, tokens: dict[str, int], finish: str | None = None) -> dict[str, Any]:
    told = {"tokens": list(tokens), "token_logprobs": [-0.5] * len(tokens)}
    return {"text": text, "token_ids": list(tokens.values()), "logprobs": told, "finish_reason": finish}


def test_each_token_is_a_piece() -> None:
    told = pieces(
        VLLM, choice("\n</think>\n\nThe", {"\n": 198, "</think>": 740, "\n\n": 741, "The": 340}), {}
    )
    assert [piece.text for piece in told] == ["\n", "</think>", "\n\n", "The"]
    assert [piece.ids for piece in told] == [(198,), (740,), (741,), (340,)]
    assert {piece.logprobs for piece in told} == {(-0.5,)}


def test_what_ends_the_text_is_no_part_of_it() -> None:
    told = pieces(VLLM, choice("{75}.", {"{": 90, "75": 575, "}.": 350, "<|im_end|>": 738}, "stop"), {})
    assert [piece.ids for piece in told] == [(90,), (575,), (350,)]


def test_a_token_that_has_no_text_is_kept_where_the_text_goes_on() -> None:
    told = pieces(VLLM, choice("75", {"75": 575, "<|box_end|>": 7}), {})
    assert [(piece.text, piece.ids) for piece in told] == [("75", (575,)), ("", (7,))]


def test_what_cannot_be_taken_apart_stays_whole() -> None:
    halves = choice("é", {"\ufffd": 1, "\ufffd ": 2})
    assert pieces(VLLM, halves, {}) == [Piece("é", (1, 2), (-0.5, -0.5))]
    untold: dict[str, Any] = {"text": "ab", "token_ids": [1, 2], "logprobs": None}
    assert pieces(VLLM, untold, {}) == [Piece("ab", (1, 2), None)]
    assert pieces(VLLM, {"text": "ab"}, {}) == [Piece("ab")]


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 9), min_size=1), st.text(max_size=2))
def test_neither_text_nor_tokens_are_lost(tokens: dict[str, int], rest: str) -> None:
    text = "".join(tokens) + rest
    told = pieces(VLLM, choice(text, tokens), {})
    assert "".join(piece.text for piece in told) == text
    assert [i for piece in told for i in piece.ids or ()] == list(tokens.values())
