"""The problem as a policy sees it while it is set up: what its questions are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from specreason.config.scheme import Role
from specreason.engines.chat_format import OpenTurn, next_turn
from specreason.engines.protocol import Engine, Message, Segment


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


@dataclass(slots=True)
class Task:
    """`turns`: each model's prompt, its turn opened. `engines`: by role, and by name those of [models.NAME].

    `room`: tokens of the longest question, which is kept free in the models' context.
    """

    messages: Sequence[Message]
    turns: Mapping[Role, OpenTurn]
    engines: Mapping[str, Engine]
    room: int = field(default=0, init=False)

    async def question(self, role: Role, text: str, opening: str = "") -> Question:
        """A question in a new user turn; the reply begins with `opening`."""
        engine, turn = self.engines[role], self.turns[role]
        close = () if turn.close is None else (turn.close,)
        asked = await next_turn(engine, self.messages, text)
        whole = (*close, *asked, *([await engine.tokenize(opening, control=True)] if opening else []))
        return self._noted(Question(whole, whole))

    async def remark(self, role: Role, text: str) -> Question:
        """A question inside the assistant's own turn: a few tokens, right after the draft."""
        engine, turn = self.engines[role], self.turns[role]
        close = () if turn.close is None else (turn.close,)
        inline = await engine.tokenize(text, control=True)
        return self._noted(Question((inline,), (*close, inline)))

    def _noted(self, question: Question) -> Question:
        self.room = max(self.room, question.tokens)
        return question
