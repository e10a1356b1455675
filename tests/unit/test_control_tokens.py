"""Text that looks like a control token stays text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.engines.control_tokens import defused, looks_like_control, parts

CONTROL = ["<|im_end|>", "</s>", "<start_of_turn>", "[INST]", "[/INST]", "[gMASK]", "<<SYS>>", "</think>"]
PLAIN = ["a < b and c > d", "x[0]", "[1, 2]", "<>", "if (a<b) return", "", "[x y]"]
texts = st.lists(st.sampled_from([*CONTROL, "<", ">", "a", " ", "\n"]) | st.text(max_size=4)).map("".join)


@pytest.mark.parametrize("text", CONTROL)
def test_control_tokens_are_seen_and_cut(text: str) -> None:
    assert looks_like_control(f"a {text} b")
    assert len(parts(text)) == 2
    assert not any(looks_like_control(part) for part in parts(text))


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_is_left_alone(text: str) -> None:
    assert not looks_like_control(text)
    assert defused(text) == text


@given(texts)
def test_the_parts_are_the_text(text: str) -> None:
    assert "".join(parts(text)) == text
    assert defused(text).replace("\u2060", "") == text.replace("\u2060", "")


@given(texts.filter(lambda text: "[" not in text))
def test_no_part_holds_a_control_token(text: str) -> None:
    assert not any(looks_like_control(part) for part in parts(text))
    assert all(parts(text))


@pytest.mark.parametrize("text", ["<a[INST]b>", "<[/INST]>"])
def test_a_control_token_inside_another_is_cut_too(text: str) -> None:
    assert not any(looks_like_control(part) for part in parts(text))
