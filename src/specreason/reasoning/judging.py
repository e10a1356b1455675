"""The judge score as a signal: which question stands after which chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from specreason.engines.chat_format import OpenTurn, next_turn
from specreason.engines.protocol import Engine, Message, Segment
from specreason.reasoning.calls import call_ended
from specreason.reasoning.events import CallEnded, StepScored
from specreason.reasoning.judge import Method, Score, judge
from specreason.reasoning.policies.contract import Signal, Situation
from specreason.reasoning.prompts import INLINE_JUDGE, JUDGE_OPENING, JUDGE_QUESTION

JudgePrompt = Literal["paper", "inline"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is put after the chain. `within`: thinking goes on; `after_close`: the draft closed it."""

    within: tuple[Segment, ...]
    after_close: tuple[Segment, ...]

    @property
    def tokens(self) -> int:
        """The longer form's tokens, 0 where the engine takes text only."""
        return max(
            sum(len(segment.ids or ()) for segment in segments)
            for segments in (self.within, self.after_close)
        )


async def question_for(
    engine: Engine, turn: OpenTurn, messages: Sequence[Message], prompt: JudgePrompt
) -> Question:
    """Tokenise the judge's question once for a problem.

    `paper`: the assistant's turn (and its thinking) is closed, the user asks, the reply is opened up to the
    digit. `inline`: a short parenthesis inside the assistant's turn.
    """
    close = () if turn.close is None else (turn.close,)
    if prompt == "inline":
        inline = await engine.tokenize(INLINE_JUDGE, control=True)
        return Question((inline,), (*close, inline))
    asked = await next_turn(engine, messages, JUDGE_QUESTION)
    opening = await engine.tokenize(JUDGE_OPENING, control=True)
    whole = (*close, *asked, opening)
    return Question(whole, whole)


def judge_signal(question: Question, method: Method) -> Signal[Score]:
    """The base model's score of the draft on the table."""

    async def measure(situation: Situation) -> Score:
        assert situation.draft is not None
        assert situation.after is not None
        closed = situation.draft.end == "think_close"
        return await judge(
            situation.engines["base"],
            situation.after.prompts["base"],
            question.after_close if closed else question.within,
            method,
            situation.session,
        )

    return Signal("judge_score", measure)


def told_score(at: float, index: int, sample: int, score: Score) -> tuple[CallEnded, StepScored]:
    """The two events of a score at `at` seconds: the call that it took, and what it said of a draft."""
    call = call_ended("base", "score", score.usage, score.seconds, "length", at=at)
    scored = StepScored(
        at, index, score.value, score.method, score.coverage, score.digits, score.seconds, sample
    )
    return call, scored
