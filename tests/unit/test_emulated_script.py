"""What an emulated pair says: the same whoever asks, however, and in whatever order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.emulate.reading import Mark, read
from specreason.emulate.script import Script
from specreason.emulate.speech import distribution, said
from specreason.emulate.tokens import END, THINK, TURN, decode, encode
from specreason.errors import ConfigError
from specreason.reasoning.prompts import INLINE_JUDGE, JUDGE_OPENING, JUDGE_QUESTION
from specreason.reasoning.signals.digits import score

SCRIPT = Script(seed=3)
OPENED = f"{TURN}user\nThis is problem 17.{END}\n{TURN}assistant\n{THINK}\n"

scripts = st.builds(
    Script,
    seed=st.integers(0, 1000),
    acceptance=st.floats(0, 1),
    shared_failures=st.floats(0, 1),
    steps=st.integers(1, 30),
    step_tokens=st.integers(28, 200),
)
problems = st.integers(0, 10**6)
samples = st.integers(0, 8)


def chain(script: Script, authors: list[int | None], problem: int = 17) -> str:
    return "".join(script.step(problem, index, author).text for index, author in enumerate(authors))


def text_after(prompt: str, *, script: Script = SCRIPT, sample: int | None = 0) -> str:
    role = "base" if sample is None else "small"
    return decode(said(script, role, read(prompt), sample or 0))


def failed(script: Script, drafts: int, steps: int = 4000) -> float:
    return sum(script.best(0, index, drafts) is None for index in range(steps)) / steps


@given(st.text())
def test_tokens_hold_their_text(text: str) -> None:
    assert decode(encode(text)) == text.encode(errors="replace").decode()
    assert all(token < 2**49 for token in encode(text))


@pytest.mark.parametrize("token", [-1, 4, 255, 2**60, 0x1FF])
def test_other_numbers_are_no_tokens(token: int) -> None:
    with pytest.raises(ValueError, match=r"not a token|codec"):
        decode([token])


@given(scripts, problems, st.integers(0, 40), st.none() | samples)
def test_a_step_is_read_as_it_was_written(
    script: Script, problem: int, index: int, sample: int | None
) -> None:
    step = script.step(problem, index, sample)
    assert script.step_tokens * 0.7 <= step.tokens == len(encode(step.text)) <= script.step_tokens * 1.3
    reading = read(f"{TURN}user\nproblem {problem}{END}\n{TURN}assistant\n{step.text}{INLINE_JUDGE}")
    assert (reading.problem, reading.asks, reading.kept) == (problem, "score", (Mark(index, sample),))


@given(scripts, problems, samples, st.floats(0, 1))
def test_a_higher_acceptance_only_turns_bad_drafts_good(
    script: Script, problem: int, sample: int, acceptance: float
) -> None:
    low, high = sorted((script.acceptance, acceptance))
    before, after = replace(script, acceptance=low), replace(script, acceptance=high)
    assert script.length(problem) >= 1
    assert before.step(problem, 0, sample) == after.step(problem, 0, sample)
    assert before.is_good(problem, 0, sample) <= after.is_good(problem, 0, sample)


@pytest.mark.parametrize("acceptance", [0.0, 0.4, 0.6, 0.8, 1.0])
def test_drafts_share_half_of_their_failures(acceptance: float) -> None:
    script = Script(seed=1, acceptance=acceptance)
    failures = 1 - acceptance
    own = failures / 2 / (1 - failures / 2)
    assert failed(script, 1) == pytest.approx(failures, abs=0.03)
    assert failed(script, 3) == pytest.approx(failures / 2 + (1 - failures / 2) * own**3, abs=0.03)


@given(scripts, problems, st.integers(0, 20), st.none() | samples)
def test_scores_tell_good_from_bad(script: Script, problem: int, index: int, sample: int | None) -> None:
    assert (script.score(problem, index, sample) >= 7) == script.is_good(problem, index, sample)
    assert script.is_good(problem, index, None)


@given(st.integers(0, 2000))
def test_a_stream_goes_on_as_a_fresh_request_would(cut: int) -> None:
    """Wherever the stream is left, in the middle of a step too, the rest comes to the same text."""
    whole = text_after(OPENED)
    ids = encode(whole)
    begun = decode(ids[: min(cut, len(ids) - 1)])
    assert begun + text_after(OPENED + begun) == whole


def test_the_small_model_goes_on_after_a_step_of_the_base_model() -> None:
    told = text_after(OPENED + chain(SCRIPT, [0, None, 0]))
    assert told.startswith(SCRIPT.step(17, 3, 0).text)
    assert text_after(OPENED + chain(SCRIPT, [0]), sample=None).startswith(SCRIPT.step(17, 1, None).text)


def test_a_bad_draft_that_is_kept_spoils_the_answer() -> None:
    script = Script(seed=3, acceptance=0.5)
    bad = next(i for i in range(100) if not script.is_good(17, i, 0) and i < script.length(17))
    right = chain(script, [None] * script.length(17))
    wrong = chain(script, [0 if i == bad else None for i in range(script.length(17))])
    said_right, said_wrong = (text_after(f"{OPENED}{text}\n\n", script=script) for text in (right, wrong))
    assert said_right == script.answer(17, ()) + END
    assert said_wrong != said_right


def test_any_clients_question_for_a_rating_is_seen() -> None:
    reply = f"{OPENED}{chain(SCRIPT, [0, 1])}{END}\n"
    ours = f"{reply}{TURN}user\n{JUDGE_QUESTION}{END}\n{TURN}assistant\n{THINK}\n{JUDGE_OPENING}"
    other = f"{reply}{TURN}user\nEvaluate the last step, from 0 to 9.{END}\n{TURN}assistant\n{THINK}\n"
    for prompt in (ours, other):
        assert read(prompt).asks == "score"
        rated = SCRIPT.score(17, 1, 1)
        assert text_after(prompt, sample=None).startswith(f"{rated}]")
    assert read(f"{reply}{TURN}user\nAt what rate?{END}\n{TURN}assistant\n").asks == "step"


def test_without_a_template_the_reply_begins_with_the_first_step() -> None:
    assert read(f"Solve problem 17.\n\n{chain(SCRIPT, [0, 0])}").next_index == 2
    assert read("Solve it.").problem == 0


@pytest.mark.parametrize("by", ["choice", "seed"])
def test_what_sets_drafts_apart(by: str) -> None:
    script = Script(samples_by="seed" if by == "seed" else "choice")
    assert script.sample(2, 40) == (42 if by == "seed" else 2)
    assert script.sample(2, None) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("acceptance", 1.5),
        ("acceptance", float("nan")),
        ("shared_failures", -1),
        ("steps", 0),
        ("step_tokens", 10),
    ],
)
def test_impossible_scripts_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name.replace("_", "-")):
        replace(Script(), **{name: value})


def test_the_expected_score_falls_on_the_same_side() -> None:
    script = Script(seed=3, acceptance=0.5)
    for index in range(script.length(17)):
        reading = read(f"{OPENED}{chain(script, [0] * (index + 1))}{INLINE_JUDGE}")
        told = {decode([i]): p for i, p in distribution(script, reading, 0, True).items()}
        value, coverage, _ = score(told, "expected")
        assert value is not None
        assert coverage > 0.8
        assert (value >= 7) == script.is_good(17, index, 0)
