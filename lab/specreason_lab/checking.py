"""The lab's problems as the task of a study: every answer and every step of theirs can be checked."""

from collections.abc import Iterable, Iterator, Sequence

from specreason.eval.calibration.judging_statistics import ScoredStep
from specreason.eval.grading import Grade
from specreason.eval.tasks import Problem as Asked
from specreason.eval.tasks import Task
from specreason.reasoning.events import Event, SignalMeasured, StepDrafted, StepKept
from specreason.reasoning.result import Result
from specreason_lab.problems import THINK_CLOSE, Problem, stated_answer


def task(name: str, sample: Iterable[Problem]) -> Task:
    """These problems, numbered."""
    asked = tuple(Asked(str(n), made.text, str(made.answer)) for n, made in enumerate(sample))
    return Task(name, "specreason lab new-problem", asked)


async def check(problem: Asked, result: Result) -> Grade:
    """Whether the last box of the answer has the right number."""
    stated = stated_answer(result.answer_text)
    right = stated == int(problem.answer)
    return Grade(right, f"{stated} is {'' if right else 'not '}{problem.answer}")


def scored_drafts(name: str, problem: Problem, events: Sequence[Event]) -> Iterator[ScoredStep]:
    """Each draft of a run with its score, and whether it is right after the steps before it."""
    chain, draft = list[str](), ""
    for event in events:
        match event:
            case StepDrafted():
                draft = event.text + (THINK_CLOSE if event.end == "think_close" else "")
            case SignalMeasured(name="judge_score", draft=0, details=details) if not details.get("prefix"):
                yield ScoredStep(name, event.value, problem.right(chain, draft))
            case StepKept(step=step):
                chain.append(step.text)
            case _:
                pass
