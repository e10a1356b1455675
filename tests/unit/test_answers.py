r"""Answers found in texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.reasoning.answers import boxed_answer, boxes, stated_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So \boxed{42}.", "42"),
        (r"\boxed{\frac{1}{\sqrt{2}}} holds", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{a\}b}", r"a\}b"),
        (r"\boxed {7}", "7"),
        (r"\fbox{7}", "7"),
        (r"First \boxed{1}, then \boxed{2}", "2"),
        (r"Whole \boxed{1}, broken \boxed{2", "1"),
        (r"\boxed{1", None),
        (r"\boxed 1", None),
        ("nothing", None),
        (r"\boxed{}", None),
        (r"\boxed{5}, or rather \boxed{}", "5"),
        # a box that is only spoken of
        (r"I must write \boxed{answer} at the end.", None),
        (r"Put it in \boxed{\text{your final answer}}", None),
        (r"It is \boxed{...}, \boxed{\ldots} or \boxed{\square}", None),
        (r"So \boxed{8}, as asked: \boxed{<answer>}", "8"),
        (r"\boxed{\text{no solution}}", r"\text{no solution}"),
        # several boxes: parts of one answer, or one that replaces another
        (r"n is \boxed{-2} \quad \text{and} \quad \boxed{1}.", "-2, 1"),
        (r"\boxed{3}, \boxed{5}, and \boxed{7}", "3, 5, 7"),
        (r"$\boxed{x=1}$ or $\boxed{x=2}$", "x=1, x=2"),
        (r"First \boxed{5}. That was wrong, it is \boxed{7}.", "7"),
        ("\\boxed{5}\n\n\\boxed{7}", "7"),
        (r"\boxed{\boxed{4}}", r"\boxed{4}"),
    ],
)
def test_the_last_complete_box_is_the_boxed_answer(text: str, answer: str | None) -> None:
    assert boxed_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 12", "12"),
        ("**Final answer:** 12.", "12"),
        ("The answer is 12.", "12"),
        ("the answer is: $x+1$.", "x+1"),
        (r"Answer: \(x\)", "x"),
        ("Answer: (B) because", "B"),
        ("Answer: C", "C"),
        ("Answer: C. Paris", "C"),
        ("Answer: Cats", "Cats"),
        ("Answer: 1\nAnswer: 2\nbye", "2"),
        (r"Answer: 1, that is \boxed{2}", "2"),
        (r"Answer: 3, not \boxed{}", r"3, not \boxed{}"),
        ("Answer: 3.5", "3.5"),
        ("Answer:", None),
        # boxes that were never closed state nothing
        ("Final answer: \\boxed{", None),
        (r"Final answer: \boxed{\frac{1}{2", None),
        (r"So the answer is \boxed{12", None),
        (r"The answer is \boxed{answer}.", None),
        ("The answer is 12.\n\nFinal answer: \\boxed{", "12"),
        ("my answers = many", None),
        ("", None),
    ],
)
def test_what_is_stated_is_the_answer(text: str, answer: str | None) -> None:
    assert stated_answer(text) == answer


@given(st.text())
def test_no_text_breaks_the_search(text: str) -> None:
    stated_answer(text)
    boxed_answer("\\boxed{" + text)


@given(st.text(st.characters(exclude_characters="{}\\")))
def test_any_plain_text_in_a_box_is_found(inside: str) -> None:
    text = f"so \\boxed{{{inside}}} it is"
    assert [box.inside for box in boxes(text)] == [inside.strip()]
    assert boxed_answer(text) in {inside.strip(), None}
