r"""From a stream of pieces to steps.

A step ends with the piece that completes the delimiter (`\n\n` after some text), so that the tokens of a
step are exactly the tokens that the model wrote. It also ends where the model closes its thinking block,
stops, or runs into the cap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from specreason.engines.control_tokens import looks_like_control
from specreason.engines.protocol import Piece, Segment

End = Literal["boundary", "think_close", "stop", "length"]


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of reasoning.

    `ids`: its tokens in the vocabulary of the model that wrote it; None where they are not known exactly.
    `tokens`: how many the model generated for it. `logprobs`: of its tokens, where reported (natural
    logarithm).
    """

    text: str
    ids: tuple[int, ...] | None
    tokens: int
    logprobs: tuple[float, ...]
    end: End

    @property
    def segment(self) -> Segment:
        """The step as part of its author's prompt."""
        return Segment(self.text, self.ids)


class StepSplitter:
    """Takes pieces one by one, gives steps. Any cut of the same text into pieces gives the same steps.

    Pieces with token ids are never cut; pieces of bare text are cut right after the delimiter.
    """

    def __init__(self, delimiter: str, think_close: str | None, max_tokens: int) -> None:
        self._delimiter = delimiter
        self._think_close = think_close
        self._max_tokens = max_tokens
        self._pieces: list[Piece] = []
        self._text = ""
        self._tokens = 0
        self._content_at: int | None = None  # where the first character that is not white space stands

    @property
    def empty(self) -> bool:
        """Whether nothing has been taken in since the last step."""
        return not self._pieces

    def feed(self, piece: Piece) -> list[Step]:
        """Take one piece; the steps that it completes, usually none or one."""
        steps: list[Step] = []
        rest: Piece | None = piece
        while rest is not None:
            step, rest = self._take(rest)
            if step is not None:
                steps.append(step)
        return steps

    def finish(self, end: Literal["stop", "length"]) -> Step | None:
        """The unfinished step when the stream has ended, None if there is none."""
        return self._step(len(self._text), end) if self._pieces else None

    def _take(self, piece: Piece) -> tuple[Step | None, Piece | None]:
        start = len(self._text)
        self._pieces.append(piece)
        self._text += piece.text
        self._tokens += _count(piece)
        if self._content_at is None:
            bare = piece.text.lstrip()
            self._content_at = start + len(piece.text) - len(bare) if bare else None

        boundary = self._find(self._delimiter, start, self._content_at)
        close = self._find(self._think_close, start, 0)
        if close is not None and (boundary is None or piece.ids is not None or close < boundary):
            return self._step(close, "think_close"), None
        if boundary is not None:
            end = boundary + len(self._delimiter)
            if piece.ids is not None:
                return self._step(len(self._text), "boundary"), None
            rest = self._text[end:]
            return self._step(end, "boundary"), Piece(rest) if rest else None
        if self._tokens >= self._max_tokens:
            return self._step(len(self._text), "length"), None
        return None, None

    def _find(self, mark: str | None, start: int, after: int | None) -> int | None:
        """Where `mark` first stands, given that it did not stand in the text before `start`."""
        if not mark or after is None:
            return None
        at = self._text.find(mark, max(after, start - len(mark) + 1))
        return None if at < 0 else at

    def _step(self, length: int, end: End) -> Step:
        text = self._text[:length]
        kept = _within(self._pieces, length)
        ids = None if kept is None else _ids(kept)
        logprobs = tuple(p for piece in self._pieces for p in piece.logprobs or ())
        step = Step(text, ids, self._tokens, logprobs, end)
        self._pieces, self._text, self._tokens, self._content_at = [], "", 0, None
        return step


def normalised(text: str) -> str:
    """A step without what does not matter when two steps are compared."""
    return " ".join(text.split())


def _count(piece: Piece) -> int:
    return len(piece.ids) if piece.ids is not None else bool(piece.text)


def _within(pieces: Sequence[Piece], length: int) -> list[Piece] | None:
    """The pieces that make up the first `length` characters, None if that cuts one."""
    kept: list[Piece] = []
    at = 0
    for piece in pieces:
        if at + len(piece.text) > length:
            return kept if at == length else None
        at += len(piece.text)
        kept.append(piece)
    return kept


def _ids(pieces: Sequence[Piece]) -> tuple[int, ...] | None:
    """Their token ids, None if some are unknown.

    A token without text is a control token, or part of a character that a later one completes; one that
    looks like a control token may be one. None of them may go into another prompt as it is, so such a step is
    tokenised anew from its text.
    """
    ids: list[int] = []
    for piece in pieces:
        if piece.ids is None or not piece.text or looks_like_control(piece.text):
            return None
        ids += piece.ids
    return tuple(ids)
