"""The lab's problems as a task of a study."""

from itertools import islice

from specreason_lab.checking import check, scored_drafts, task
from specreason_lab.problems import problems

from specreason.reasoning.events import Event, SignalMeasured, StepDrafted, StepKept
from specreason.reasoning.records import StepRecord
from specreason.reasoning.result import Result

(MADE,) = islice(problems(0, "test", (3, 3)), 1)


async def test_an_answer_is_right_if_its_last_box_is() -> None:
    (asked,) = task("one", [MADE]).problems
    right, wrong = f"\\boxed{{{MADE.answer}}}", f"\\boxed{{{MADE.answer + 1}}}"
    assert (await check(asked, Result(answer_text=f"{wrong}, no: {right}"))).right
    assert not (await check(asked, Result(answer_text=wrong))).right
    assert not (await check(asked, Result(answer_text="none"))).right


def test_a_draft_is_right_after_the_steps_that_were_kept() -> None:
    first, second, _ = MADE.steps
    events: list[Event] = []
    for index, (draft, score, kept) in enumerate([("Nonsense.\n\n", 2.0, first), (second, 8.0, second)]):
        events += [
            StepDrafted(0.0, index, draft, 5, 0.1, "boundary"),
            SignalMeasured(0.0, index, 0, "judge_score", score, 0.1),
            StepKept(0.0, StepRecord(index, kept, "base", "rewrite", "rejected", 5, "boundary")),
        ]
    scored = list(scored_drafts("p", MADE, events))
    assert [(draft.score, draft.right) for draft in scored] == [(2.0, False), (8.0, True)]
