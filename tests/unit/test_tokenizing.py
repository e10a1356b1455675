"""Text to tokens by a server's tokenizer: no spaces between parts, no control tokens, few questions."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.engines.tokenizing import Tokenizer

CONTROL = {"<|end|>": 1, "</s>": 2, "[XY]": 3}
_SPLIT = re.compile("|".join(map(re.escape, CONTROL)))


class Server:
    """Characters as tokens. `spaced`: like SentencePiece it puts a space before what it is given."""

    def __init__(self, *, spaced: bool = False, apart: bool = False) -> None:
        self.asked: list[str] = []
        self._spaced, self._apart = spaced, apart

    async def __call__(self, text: str, control: bool) -> list[int]:
        self.asked.append(text)
        return self.ids(text, control=control)

    def ids(self, text: str, *, control: bool = True) -> list[int]:
        if self._spaced and text and not _SPLIT.match(text):
            text = " " + text
        if self._apart and not control:
            return [ord(char) for char in text]
        ids: list[int] = []
        at = 0
        for match in _SPLIT.finditer(text):
            ids += [*map(ord, text[at : match.start()]), CONTROL[match[0]]]
            at = match.end()
        return [*ids, *map(ord, text[at:])]


@pytest.mark.parametrize("spaced", [False, True])
async def test_parts_are_the_whole(*, spaced: bool) -> None:
    server = Server(spaced=spaced)
    tokenizer = Tokenizer(server, apart=False)
    texts = ["[user] What", " is", "\nthis?", "Rating: ["]
    parts = [await tokenizer.segment(text, control=True) for text in texts]
    assert [i for part in parts for i in part.ids or ()] == [ord(char) for char in "".join(texts)]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("spaced", [False, True])
@given(words=st.lists(st.sampled_from([*CONTROL, "<", "|end|>", "s>", "a", " ", "\n", "<b>"]), max_size=8))
async def test_text_is_text_whatever_it_holds(words: list[str], *, apart: bool, spaced: bool) -> None:
    text = "".join(words)
    tokenizer = Tokenizer(Server(spaced=spaced, apart=apart), apart=apart)
    segment = await tokenizer.segment(text, control=False)
    assert segment.text == text
    assert segment.ids == tuple(map(ord, text))


async def test_only_single_tokens_are_control_tokens() -> None:
    server = Server()
    tokenizer = Tokenizer(server, apart=False)
    assert await tokenizer.reads_as_control(["<|end|>", "<int>", "[idx]"]) == {"<|end|>"}
    asked = len(server.asked)
    assert await tokenizer.reads_as_control(["<int>"]) == set()
    assert len(server.asked) == asked


async def test_what_cannot_all_be_asked_about_counts_as_control() -> None:
    server = Server()
    tokenizer = Tokenizer(server, apart=False)
    many = [f"<t{n}>" for n in range(1000)]
    assert len(await tokenizer.reads_as_control(many)) > 900
    assert len(server.asked) < 100


async def test_a_text_full_of_control_tokens_is_few_questions() -> None:
    server = Server()
    tokenizer = Tokenizer(server, apart=False)
    text = "".join(f"{n}</s>" for n in range(5000))
    segment = await tokenizer.segment(text, control=False)
    assert len(server.asked) < 20
    assert CONTROL["</s>"] not in (segment.ids or ())


async def test_what_templates_write_is_asked_for_once_and_problems_are_not_kept() -> None:
    server = Server()
    tokenizer = Tokenizer(server, apart=False)
    for text in ("<|end|>", "<|end|>", "x" * 5000, "x" * 5000):
        await tokenizer.segment(text, control=True)
    assert server.asked.count("<|end|>") == 1
    assert server.asked.count("x" * 5000) == 2
