"""Labelled steps, the judge on them, and the threshold in the config file."""

import asyncio
import json
import random
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import plan, run, task

from specreason.config import EngineSettings, load_settings
from specreason.engines.scripted import ScriptedEngine
from specreason.errors import ConfigError, InputError
from specreason.eval.calibration.judging_statistics import ScoredStep, threshold_for
from specreason.eval.calibration.labelled_steps import corrupted, labelled_steps, spread
from specreason.eval.calibration.score_steps import Judged, judged_steps
from specreason.eval.calibration.write_threshold import write_threshold
from specreason.eval.store import Store
from specreason.reasoning.policies.specreason import knobs_in


def steps_file(folder: Path, **more: object) -> Path:
    path = folder / "steps.jsonl"
    row = {
        "id": "a",
        "problem": "Twice 2 + 2?",
        "steps": ["2 + 2 = 4.\n\n", "Twice 4 is 8.</think>", "Done."],
    }
    path.write_text(json.dumps(row | more))
    return path


@given(st.integers(0, 10_000), st.integers(0, 1000))
def test_a_corrupted_step_differs_in_one_number_only(value: int, seed: int) -> None:
    text = f"So we have {value} apples, and that is it."
    wrong = corrupted(text, random.Random(seed))
    assert wrong is not None
    assert wrong != text
    assert wrong.startswith("So we have ")
    assert wrong.endswith(" apples, and that is it.")


def test_a_step_without_a_number_cannot_be_corrupted() -> None:
    assert corrupted("That is all.", random.Random(0)) is None


def test_unlabelled_steps_come_with_a_wrong_twin(tmp_path: Path) -> None:
    steps = list(labelled_steps(steps_file(tmp_path), 0))
    assert [step.right for step in steps] == [True, False, True, False]
    assert steps[2].text == "Twice 4 is 8.\n\n"
    assert steps[2].before == steps[3].before == ("2 + 2 = 4.\n\n",)
    assert steps[3].text != steps[2].text
    assert len({step.item for step in steps}) == 4


def test_steps_are_taken_from_many_problems_before_many_of_one(tmp_path: Path) -> None:
    line = steps_file(tmp_path).read_text()
    path = tmp_path / "many.jsonl"
    path.write_text("\n".join(line.replace('"a"', f'"a{n}"') for n in range(5)))
    taken = spread(labelled_steps(path, 0), 10)
    assert [step.item for step in taken[:4]] == ["a0/0", "a0/0/wrong", "a1/0", "a1/0/wrong"]
    assert len({step.problem_id for step in taken}) == 5


def test_labels_are_taken_as_they_are(tmp_path: Path) -> None:
    told = [s.right for s in labelled_steps(steps_file(tmp_path, labels=[True, False, False]), 0)]
    assert told == [True, False, False]
    assert [s.right for s in labelled_steps(steps_file(tmp_path, label=1), 0)] == [True, False]
    assert [s.right for s in labelled_steps(steps_file(tmp_path, label=-1), 0)] == [True] * 3
    with pytest.raises(InputError, match="labels"):
        list(labelled_steps(steps_file(tmp_path, labels=[True]), 0))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"labels": ["true", "false", "false"]}, "'labels' must be a list"),
        ({"labels": [1, 0, -1]}, "'labels' must be a list"),
        ({"steps": ["2 + 2 = 4.", {"text": "Twice 4 is 8."}]}, "'steps' must be text"),
        ({"problem": ["x"]}, "'problem' must be text"),
        ({"id": {}}, "'id' must be text"),
    ],
)
def test_steps_that_are_no_texts_and_labels_that_say_neither_are_named(
    tmp_path: Path, more: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=f"line 1.*{words}"):
        list(labelled_steps(steps_file(tmp_path, **more), 0))


def test_steps_may_have_a_byte_order_mark_and_any_separator_in_their_texts(tmp_path: Path) -> None:
    path = steps_file(tmp_path)
    row = {"id": None, "problem": "Twice 2 + 2?", "steps": ["2 + 2\u2028= 4."], "labels": [1]}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\r\n", encoding="utf-8-sig", newline="")
    assert [(s.problem_id, s.text) for s in labelled_steps(path, 0)] == [("1", "2 + 2\u2028= 4.\n\n")]
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        list(labelled_steps(path, 0))
    with pytest.raises(InputError, match="label"):
        list(labelled_steps(steps_file(tmp_path, label=7), 0))


def test_right_chains_of_a_study_are_labelled_steps(tmp_path: Path) -> None:
    run(tmp_path / "s.sqlite", plan(task(2), schemes=("base", "small")))
    steps = list(labelled_steps(tmp_path / "s.sqlite", 0))
    assert {step.problem_id for step in steps} == {"p0", "p1"}
    assert any("Base adds to 4." in step.text for step in steps)  # small was wrong


def test_the_judge_is_asked_once_a_step_and_prompt(tmp_path: Path) -> None:
    engine = ScriptedEngine("base", scores={"4.": "9", "Twice": {"3": 0.5, "1": 0.3, "no": 0.2}})

    async def judged() -> list[Judged]:
        steps = labelled_steps(steps_file(tmp_path), 0)
        with Store(tmp_path / "j.sqlite", create=True) as store:
            asked = judged_steps(engine, EngineSettings(), "auto", steps, ["paper", "inline"], store=store)
            async with aclosing(asked) as items:
                return [item async for item in items]

    first = asyncio.run(judged())
    assert len(first) == len(engine.calls) == 8
    assert first[0].scores == {"greedy": 9.0, "expected": 9.0}
    twice = next(item for item in first if item.step.text == "Twice 4 is 8.\n\n")
    assert twice.scores["greedy"] == 3
    assert twice.scores["expected"] == pytest.approx((3 * 0.5 + 0.3) / 0.8)
    assert asyncio.run(judged()) == first
    assert len(engine.calls) == 8


def test_the_threshold_is_written_beside_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "specreason.toml"
    path.write_text('# mine\npair = "qwen-coder"\n\n[reasoning]\ntoken_budget = 99 # small\n')
    write_threshold(path, 6.5, "expected", "precision 0.9, sure to 96% from 240 steps")
    text = path.read_text()
    assert "# mine" in text
    assert "token_budget = 99 # small" in text
    assert "threshold = 6.5 # precision 0.9, sure to 96% from 240 steps" in text
    rule = knobs_in(load_settings(path, env={}))
    assert (rule.threshold, rule.judge_method) == (6.5, "expected")
    write_threshold(tmp_path / "new.toml", 7, "greedy", "why")
    assert knobs_in(load_settings(tmp_path / "new.toml", env={})).threshold == 7


def test_a_file_that_is_no_toml_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "specreason.toml"
    path.write_text("[reasoning\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        write_threshold(path, 7, "greedy", "why")
    assert path.read_text() == "[reasoning\n"


def test_the_interval_of_a_threshold_holds_what_was_counted() -> None:
    steps = [ScoredStep(str(n), 9.0 if n % 2 else 1.0, bool(n % 2)) for n in range(40)]
    found = threshold_for(steps, acceptance=0.9)
    assert found is not None
    assert found.value == 1.0
    assert found.acceptance.value == found.acceptance.high == 1.0
