"""Text that looks like a control token stays text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.engines.control_tokens import (
    JOINER,
    candidates,
    defused,
    guarded,
    is_known,
    joined,
    looks_like_control,
    parts,
)

CONTROL = ["<|im_end|>", "</s>", "<start_of_turn>", "[INST]", "[/INST]", "[gMASK]", "<<SYS>>", "</think>"]
# Of further families of models: EXAONE, DeepSeek, MiniMax, Gemma 4, Seed, Command R, Mistral.
OTHERS = [
    "[|user|]",
    "<\uff5cUser\uff5c>",
    "]~b]",
    "[e~[",
    "<turn|>",
    "<|turn>",
    "<seed:think>",
    "<BOS_TOKEN>",
]
CODE = [
    "vector<int>",
    "a[idx]",
    "b[MAX_LEN]",
    'x = "<b>"',
    "List[str]",
    "d['key']",
    "m[~mask]",
    "<div class>",
]
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


@pytest.mark.parametrize("text", [*CONTROL, *OTHERS])
def test_tokens_of_well_known_models_are_known(text: str) -> None:
    assert candidates(text)
    assert text == "<BOS_TOKEN>" or any(is_known(candidate) for candidate in candidates(text))


@pytest.mark.parametrize("text", CODE)
def test_code_is_not_taken_for_a_token_of_any_model(text: str) -> None:
    assert defused(text, is_known) == text


@given(st.lists(texts, max_size=6))
def test_texts_never_make_a_control_token_together(written: list[str]) -> None:
    whole = joined([defused(text, is_known) for text in written], is_known)
    assert not any(is_known(candidate) for candidate in candidates(whole))
    assert whole.replace(JOINER, "") == "".join(written).replace(JOINER, "")


def test_a_control_token_in_three_texts_is_broken() -> None:
    assert joined(["a<|im", "_e", "nd|>b"]) == f"a<|im_e{JOINER}nd|>b"
    assert joined(["a<b", "> c"], is_known) == "a<b> c"


@given(texts)
def test_a_guard_stands_in_every_control_token_and_nothing_else_changes(text: str) -> None:
    safe = guarded(text, is_known, "\0")
    assert safe.replace("\0", "") == text.replace("\0", "")
    assert not any(is_known(c) for piece in safe.split("\0") for c in candidates(piece) if "\0" not in text)


@pytest.mark.parametrize(
    "text", ["<|im_/no_thinkend|>", "[/no_/thinkthinkINST]", "[IN/thinkST]", "<|/th/no_thinkinkim_end|>"]
)
def test_a_template_that_takes_switches_out_makes_no_control_token(text: str) -> None:
    safe = guarded(text, {"<|im_end|>", "[INST]"}.__contains__, "#")
    for first, second in (("/no_think", "/think"), ("/think", "/no_think")):
        assert not {"<|im_end|>", "[INST]"} & candidates(safe.replace(first, "").replace(second, ""))


def test_the_beginning_of_a_control_token_at_a_texts_end_is_guarded() -> None:
    assert guarded("a<|im_", is_known, "#") == "a<#|im_"
    assert guarded("<|im_<think>end|>", is_known, "#", tags=True).startswith("<#")
