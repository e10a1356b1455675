"""From text to tokens by a server's own tokenizer: parts that go on from one another."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence

from specreason.engines import control_tokens
from specreason.engines.protocol import Segment

Ask = Callable[[str, bool], Awaitable[list[int]]]
"""The server's tokens of a text; with True it parses control tokens, if it can be asked to."""

MOST_PARTS = 256  # a text with more control tokens than this is defused as for engines that take text only
_MOST_ASKED = 64  # texts of one call that the tokenizer is asked about; what is beyond counts as control
_MOST_KNOWN = 1000
_LONGEST_KNOWN = 2000  # characters; longer texts are problems, which do not come again
_LINE = "\n"


class Tokenizer:
    """What templates and we ourselves write is asked for once and then known.

    `apart`: the server can be asked to take control tokens as text; else they are cut, and the parts asked
    for one by one.
    """

    def __init__(self, ask: Ask, *, apart: bool) -> None:
        self._ask = ask
        self._apart = apart
        self._fixed: OrderedDict[str, Segment] = OrderedDict()
        self._control: dict[str, bool] = {}
        self._line_tokens: int | None = None

    async def segment(self, text: str, *, control: bool) -> Segment:
        """The tokens of `text` where it goes on from other text."""
        if control and text in self._fixed:
            self._fixed.move_to_end(text)
            return self._fixed[text]
        pieces = [text] if control or self._apart else await self._parts(text)
        unique = list(dict.fromkeys(pieces))
        ids_of = dict(zip(unique, await self._ids(unique, control=control), strict=True))
        segment = Segment("".join(pieces), tuple(i for piece in pieces for i in ids_of[piece]))
        if control and len(text) <= _LONGEST_KNOWN:
            self._fixed[text] = segment
            if len(self._fixed) > _MOST_KNOWN:
                self._fixed.popitem(last=False)
        return segment

    async def reads_as_control(self, candidates: Collection[str]) -> Collection[str]:
        """Those that are one token, as every control token is; and those that there are too many of."""
        unknown = [text for text in candidates if text not in self._control]
        asked = unknown[:_MOST_ASKED]
        found = await self._ids(asked, control=True)
        if len(self._control) > _MOST_KNOWN:
            self._control.clear()
        self._control |= {text: len(ids) <= 1 for text, ids in zip(asked, found, strict=True)}
        return {text for text in candidates if self._control.get(text, True)}

    async def _parts(self, text: str) -> list[str]:
        found = await self.reads_as_control(control_tokens.candidates(text))
        pieces = control_tokens.parts(text, found.__contains__)
        return pieces if len(pieces) <= MOST_PARTS else [control_tokens.JOINER.join(pieces)]

    async def _ids(self, texts: Sequence[str], *, control: bool) -> list[list[int]]:
        """Tokens of each text, without the space that some tokenizers put before all that they are given.

        Those of SentencePiece do. After a line break, which they never join with what follows, they do not.
        """
        if self._line_tokens is None:
            self._line_tokens = await self._tokens_of_a_line()
        line = _LINE if self._line_tokens else ""
        tokenised = await asyncio.gather(*(self._ask(line + text, control) for text in texts))
        return [ids[self._line_tokens :] for ids in tokenised]

    async def _tokens_of_a_line(self) -> int:
        """How many tokens a line break at the start is, where that keeps the space away; else 0."""
        texts = (f"x{_LINE}x", f"x{_LINE}", "x", _LINE, f"{_LINE}x")
        whole, first, second, line, after = await asyncio.gather(*(self._ask(t, False) for t in texts))
        if first + second == whole:
            return 0
        return len(line) if after[: len(line)] == line and first + after[len(line) :] == whole else 0
