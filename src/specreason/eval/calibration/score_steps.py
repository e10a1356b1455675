"""The judge asked about labelled steps: one question a step and prompt gives both methods' scores."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from specreason.config import EngineSettings
from specreason.engines.chat_format import open_turn, thinks
from specreason.engines.protocol import Engine, Message
from specreason.eval.calibration.judging_statistics import ScoredStep
from specreason.eval.calibration.labelled_steps import LabelledStep
from specreason.eval.store import Store
from specreason.reasoning.prompts import with_instruction
from specreason.reasoning.signals.digits import CANDIDATES, Method, score
from specreason.reasoning.signals.judge_score import JudgePrompt, judge_question
from specreason.reasoning.signals.task import Task

METHODS: tuple[Method, ...] = ("greedy", "expected")


@dataclass(frozen=True, slots=True)
class Judged:
    """What the judge said of a step under one prompt. `scores` by method, None: not readable."""

    step: LabelledStep
    prompt: JudgePrompt
    scores: dict[str, float | None]
    coverage: float
    seconds: float

    def scored(self, method: Method) -> ScoredStep:
        """The step with one method's score."""
        return ScoredStep(self.step.problem_id, self.scores[method], self.step.right)


async def judged_steps(
    engine: Engine,
    settings: EngineSettings,
    instruction: str,
    steps: Iterable[LabelledStep],
    prompts: Sequence[JudgePrompt],
    *,
    store: Store | None = None,
) -> AsyncGenerator[Judged, None]:
    """Each step under each prompt; what the store knows already is not asked again."""
    known = store.judged() if store is not None else {}
    thinking = await thinks(engine, settings)
    for step in steps:
        for prompt in prompts:
            asked_as = f"{engine.model} {prompt}"
            reply = known.get((step.item, asked_as))
            if reply is None:
                reply = await _asked(engine, settings, instruction, step, prompt, thinking=thinking)
                if store is not None:
                    store.add_judged(step.item, asked_as, reply)
            yield Judged(step, prompt, {m: reply[m] for m in METHODS}, reply["coverage"], reply["seconds"])


async def _asked(
    engine: Engine,
    settings: EngineSettings,
    instruction: str,
    step: LabelledStep,
    prompt: JudgePrompt,
    *,
    thinking: bool,
) -> dict[str, Any]:
    asked: list[Message] = [{"role": "user", "content": with_instruction(step.problem, instruction)}]
    turn = await open_turn(engine, asked, settings, thinking=thinking)
    chain = [await engine.tokenize(text) for text in (*step.before, step.text)]
    question = await judge_question(Task(asked, {"base": turn}, {"base": engine}), prompt)
    reply = await engine.next_token_logprobs(
        turn.prompt.plus(*chain, *question.within), candidates=CANDIDATES, session=step.problem_id
    )
    values = {method: score(reply.logprobs, method) for method in METHODS}
    return {
        "text": step.text,
        "right": step.right,
        "coverage": values["greedy"][1],
        "seconds": reply.waited_s,
    } | {method: value for method, (value, _, _) in values.items()}
