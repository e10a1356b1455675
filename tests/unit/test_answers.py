r"""Answers found in texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.reasoning.answers import boxed_answer, stated_answer


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
        # side by side: one answer
        (r"\boxed{3}, \boxed{5}, \boxed{7}", "3, 5, 7"),
        (r"either $\boxed{x=1}$ or $\boxed{x=2}$.", "x=1, x=2"),
        (r"\boxed{-4} \quad\text{and}\quad \boxed{9}", "-4, 9"),
        ("\\(\\boxed{2}\\), and\n\\(\\boxed{8}\\)", "2, 8"),
        (r"\boxed{6}, \boxed{6}", "6"),
        (r"\boxed{1}; so no: \boxed{2}, \boxed{3}", "2, 3"),
        (r"It was \boxed{5}. Wrong, it is \boxed{7}.", "7"),
        (r"\boxed{5} \boxed{7}", "7"),
        (r"\boxed{\text{sum} = \boxed{9}}", "9"),
        # a box that only shows where the answer goes
        (r"\boxed{answer}", None),
        (r"I end with \boxed{\text{your final answer}}.", None),
        (r"\boxed{<answer here>}", None),
        (r"\boxed{...}", None),
        (r"\boxed{\ldots}", None),
        (r"\boxed{____}", None),
        (r"\boxed{?}", None),
        (r"\boxed{\square}", None),
        (r"\boxed{31}, as I promised in \boxed{answer}", "31"),
        (r"\boxed{\text{no answer}}", r"\text{no answer}"),
        (r"\boxed{\infty}", r"\infty"),
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
        (r"Answer: 3, not \boxed{}", "3, not"),
        (r"Final answer: \boxed{", None),
        (r"Final answer: \boxed{\frac{3}{8", None),
        ("Answer: 4\n\nFinal answer: \\boxed{", "4"),
        ("The answer is \\boxed{7\n\nAnswer: 8", "8"),
        (r"The answer is \boxed{5}. Wait, \boxed{7", "5"),
        (r"The final answer is \boxed{answer}.", None),
        ("Answer: 3.5", "3.5"),
        ("Answer:", None),
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


@given(st.text(st.characters(categories=["L", "N"]), min_size=1))
def test_any_plain_text_in_a_box_is_found(inside: str) -> None:
    assert boxed_answer(f"so \\boxed{{{inside}}} it is") == inside.strip()
