"""The judge's score: the base model rates a draft in one prefill pass (SpecReason, section 4.1)."""

from typing import Literal

from specreason.engines.protocol import Engine
from specreason.errors import ConfigError
from specreason.reasoning.prompts import INLINE_JUDGE, JUDGE_OPENING, JUDGE_QUESTION
from specreason.reasoning.signals.contract import Context, Reading, Signal
from specreason.reasoning.signals.digits import CANDIDATES, Method, Score, score
from specreason.reasoning.signals.task import Question, Task

JudgePrompt = Literal["paper", "inline"]


async def judge_question(task: Task, prompt: JudgePrompt | Literal["auto"]) -> Question:
    """The judge's question, tokenised once for a problem.

    `paper`: in a new user turn, the reply opened up to the digit. `inline`: a short parenthesis inside the
    assistant's turn. Raises ConfigError if the base model's engine cannot score.
    """
    engine = task.engines["base"]
    check_judge(engine)
    if prompt == "auto":
        prompt = "inline" if engine.capabilities.in_process else "paper"
    if prompt == "inline":
        return await task.remark("base", INLINE_JUDGE)
    return await task.question("base", JUDGE_QUESTION, JUDGE_OPENING)


def judge_score(question: Question, method: Method) -> Signal[Score]:
    """The base model's score of a draft."""

    async def measure(context: Context) -> Score:
        asked = question.after_close if context.draft.end == "think_close" else question.within
        prompt = context.with_draft.prompts["base"].plus(*asked)
        reply = await context.engines["base"].next_token_logprobs(
            prompt, candidates=CANDIDATES, session=context.session
        )
        return Score(*score(reply.logprobs, method), method)

    return Signal("judge_score", "base", measure, reading=_reading)


def check_judge(engine: Engine) -> None:
    """Raise ConfigError if `engine` cannot score: it does not tell the next token's distribution truly."""
    if not engine.capabilities.first_token_logprobs:
        raise ConfigError(
            f"the base model's engine ({engine.model}) reports no log-probabilities of the next token, or "
            "zeros, as some servers do while they speculate; so it cannot score drafts: use another server, "
            "or let 'base.url' name one that does not speculate (specreason doctor)"
        )


def _reading(scored: Score) -> Reading:
    details = {"method": scored.method, "coverage": scored.coverage, "digits": dict(scored.digits)}
    return Reading(scored.value, details)
