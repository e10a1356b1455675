"""The grader agrees with answer pairs written by hand: right and wrong, in many forms."""

import pytest

from specreason.eval.grading import grade

RIGHT = [
    # whole numbers, signs, grouping
    ("42", "42"),
    ("42", "42."),
    ("42", " 42 "),
    ("42", "$42$"),
    ("42", "\\(42\\)"),
    ("-7", "-7"),
    ("-7", "\u22127"),
    ("1000", "1,000"),
    ("1000", "1{,}000"),
    ("1000", "1\\,000"),
    ("1000", "1 000"),
    ("1234567", "1,234,567"),
    ("1,234,567", "1234567"),
    ("007", "7"),
    ("204", "204"),
    ("0", "0.0"),
    ("+5", "5"),
    ("5", "\\text{5}"),
    ("540", "\\mathbf{540}"),
    ("33", "033"),
    # decimals and scientific notation
    ("3", "3.0"),
    ("3.50", "3.5"),
    ("0.5", ".5"),
    ("1500", "1.5e3"),
    ("1500", "1.5 \\times 10^3"),
    ("0.00012", "1.2e-4"),
    ("2.5\\cdot 10^{4}", "25000"),
    # fractions and mixed numbers
    ("1/2", "0.5"),
    ("\\frac{1}{2}", "1/2"),
    ("\\dfrac{3}{4}", "0.75"),
    ("\\frac34", "3/4"),
    ("2/4", "1/2"),
    ("-\\frac{2}{3}", "\\frac{-2}{3}"),
    ("\\tfrac{7}{8}", "7/8"),
    ("1 1/2", "3/2"),
    ("2 3/4", "2.75"),
    ("3\\frac{1}{4}", "13/4"),
    ("-1 1/2", "-1.5"),
    ("1 and 1/2", "1.5"),
    ("\\frac{14}{3}", "4\\frac{2}{3}"),
    ("1:2", "1/2"),
    # money, units, percent, degrees
    ("18", "$18"),
    ("18", "\\$18"),
    ("18", "\\$18.00"),
    ("18", "18 dollars"),
    ("5", "5 cm"),
    ("5", "5\\text{ cm}"),
    ("5 \\text{ cm}", "5"),
    ("12", "12 apples"),
    ("60", "60 km/h"),
    ("90", "90^\\circ"),
    ("90^{\\circ}", "90"),
    ("50", "50%"),
    ("50\\%", "50"),
    ("0.5", "50\\%"),
    ("12.5%", "12.5"),
    ("12.5%", "0.125"),
    ("8", "8 square units"),
    ("3", "3 hours per day"),
    ("20", "20\\text{ percent}"),
    ("36", "36\\ \\mathrm{m}^2"),
    ("7", "7\\,\\mathrm{kg}"),
    # roots, powers, constants
    ("2\\sqrt{2}", "\\sqrt{8}"),
    ("\\sqrt{2}/2", "\\frac{1}{\\sqrt{2}}"),
    ("2^{10}", "1024"),
    ("\\sqrt[3]{27}", "3"),
    ("\\pi", "\\pi"),
    ("2\\pi", "2 \\pi"),
    ("\\frac{\\pi}{4}", "\\pi/4"),
    ("5!", "120"),
    ("e^2", "e^{2}"),
    ("\\log_2 8", "3"),
    ("\\infty", "+\\infty"),
    ("\\binom{5}{2}", "10"),
    ("3+4i", "4i+3"),
    ("\\sin(\\pi/6)", "1/2"),
    ("8\\pi - 16", "-16 + 8\\pi"),
    # expressions and equations
    ("x^2+2x+1", "(x+1)^2"),
    ("2x+3", "3+2x"),
    ("\\frac{x+1}{2}", "x/2+1/2"),
    ("a(b+c)", "ab+ac"),
    ("5", "x=5"),
    ("x=5", "5"),
    ("y=2x+3", "y=3+2x"),
    ("x>3", "x > 3"),
    ("p - q", "-q+p"),
    ("x^3+3x-6", "x^3 + 3 x - 6"),
    ("6r^2-4r-24", "-24-4r+6r^2"),
    # tuples, sets, intervals, matrices
    ("(1,2)", "(1, 2)"),
    ("(3, \\frac{\\pi}{2})", "\\left(3, \\frac{\\pi}{2}\\right)"),
    ("(1/2, 3)", "(0.5, 3)"),
    ("\\{1,2,3\\}", "\\{3,2,1\\}"),
    ("1, 2", "2, 1"),
    ("1,-2", "-2,1"),
    ("[0,1)", "[0, 1)"),
    ("(-\\infty, 2]", "(-\\infty,2]"),
    ("(-\\infty,2]\\cup[3,\\infty)", "(-\\infty, 2] \\cup [3, \\infty)"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"),
    ("(2,5)", "\\left( 2, 5 \\right)"),
    ("\\{-1, 1\\}", "\\{1,-1\\}"),
    ("x \\in [-2,7]", "[-2,7]"),
    # words
    ("Monday", "monday"),
    ("\\text{Monday}", "Monday"),
    ("Evelyn", "\\text{Evelyn}"),
    ("yes", "Yes"),
    ("even", "\\textbf{even}"),
    ("right triangle", "Right  Triangle"),
    ("no solution", "No solution."),
    # typesetting around it
    ("11\\sqrt2", "11\\sqrt{2}"),
    ("\\left(0,1\\right)", "(0,1)"),
    ("10", "\\mathrm{10}"),
    ("4", "\\[4\\]"),
    ("70", "70 \\text{ years}"),
    ("1{,}500", "1500"),
    ("4.00", "$4"),
    ("\\frac{9}{7}", "9/7"),
]
WRONG = [
    ("42", "43"),
    ("42", "-42"),
    ("42", "420"),
    ("1000", "100"),
    ("1000", "1,001"),
    ("12", "1 2"),
    ("3", "3.01"),
    ("10", "10.0001"),
    ("3.14", "\\pi"),
    ("1/3", "0.333"),
    ("1/2", "1/3"),
    ("1/2", "2"),
    ("1 1/2", "1/2"),
    ("1 1/2", "1"),
    ("2 3/4", "23/4"),
    ("\\frac{3}{4}", "\\frac{4}{3}"),
    ("1500", "1.5e2"),
    ("50", "5%"),
    ("0.5", "5\\%"),
    ("90", "91^\\circ"),
    ("18", "$19"),
    ("5", "6 cm"),
    ("2\\sqrt{2}", "\\sqrt{2}"),
    ("2^{10}", "2^{11}"),
    ("\\pi", "2\\pi"),
    ("\\infty", "-\\infty"),
    ("5!", "5"),
    ("3+4i", "3-4i"),
    ("x^2+2x+1", "(x-1)^2"),
    ("2x+3", "3x+2"),
    ("5", "x=6"),
    ("y=2x+3", "y=2x-3"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "(1,2,3)"),
    ("(1,2)", "1"),
    ("\\{1,2,3\\}", "\\{1,2\\}"),
    ("1, 2", "1, 3"),
    ("[0,1)", "[0,1]"),
    ("(-\\infty, 2]", "(-\\infty, 2)"),
    ("(0,1)", "[0,1]"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}2\\\\1\\end{pmatrix}"),
    ("Monday", "Dynamo"),
    ("Monday", "Tuesday"),
    ("Evelyn", "Carla"),
    ("yes", "no"),
    ("even", "odd"),
    ("even", "nevee"),
    ("no solution", "0"),
    ("Monday", "5"),
    ("42", "forty"),
    ("42", ""),
    ("42", "   "),
    ("7", "\\frac{7}{0}"),
    ("6", "\\boxed{"),
    ("5", "5x"),
    ("5", "5 x"),
    ("2", "2\\sqrt{3}"),
    ("25%", "0.5"),
    ("9", "\\notacommand{9"),
    ("8", "(("),
]
CHOICES_RIGHT = [
    ("B", "B"),
    ("B", "b"),
    ("B", "(B)"),
    ("B", "B)"),
    ("B", "B."),
    ("B", "\\text{B}"),
    ("B", "\\text{(B)}"),
    ("B", "B) 12 metres"),
    ("B", "$B$"),
    ("B", "B,"),
    ("B", "Option B"),
    ("B", "[B]"),
    ("B", "B: 4"),
    ("D", "\\mathbf{D}"),
    ("A", "A"),
    ("J", "(j)"),
]
CHOICES_WRONG = [
    ("B", "A"),
    ("B", "C) because B is wrong"),
    ("B", "12"),
    ("B", "Both"),
    ("B", "Because"),
    ("B", ""),
    ("A", "An"),
    ("B", "none of them"),
    ("A", "a lot"),
    ("A", "A lot"),
    ("B", "BC"),
]


def test_there_are_at_least_150_pairs() -> None:
    assert len(RIGHT) + len(WRONG) + len(CHOICES_RIGHT) + len(CHOICES_WRONG) >= 150


@pytest.mark.parametrize(("expected", "answer"), RIGHT)
def test_a_right_answer_is_right_in_any_form(expected: str, answer: str) -> None:
    verdict = grade("math", answer, expected)
    assert verdict.right, verdict.reason


@pytest.mark.parametrize(("expected", "answer"), WRONG)
def test_a_wrong_answer_is_wrong_and_says_why(expected: str, answer: str) -> None:
    verdict = grade("math", answer, expected)
    assert not verdict.right, verdict.reason
    assert verdict.reason


@pytest.mark.parametrize(("expected", "answer"), CHOICES_RIGHT)
def test_a_letter_is_found_in_a_choice(expected: str, answer: str) -> None:
    assert grade("choice", answer, expected).right


@pytest.mark.parametrize(("expected", "answer"), CHOICES_WRONG)
def test_only_the_letter_counts_for_a_choice(expected: str, answer: str) -> None:
    assert not grade("choice", answer, expected).right


def test_no_answer_is_wrong() -> None:
    assert grade("math", None, "4").reason == "no answer was stated"
