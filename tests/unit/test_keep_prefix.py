"""What is kept of a rejected draft."""

from collections.abc import Mapping
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.config import ReasoningSettings, Settings
from specreason.config.scheme import Role
from specreason.engines.protocol import Segment
from specreason.engines.scripted import ScriptedEngine, words
from specreason.errors import EngineError
from specreason.reasoning.events import Event, StepRejected
from specreason.reasoning.repairs.keep_prefix import inner_ends
from specreason.reasoning.result import Result, fold
from specreason.session import SpecReason

T = TypeVar("T")

DRAFT = "One is odd. Two is even. Three is even. So we go on.\n\n"
RIGHT = "One is odd. Two is even. Three is odd. So we go on.\n\n"
END = "That is all.\n</think>"


class Told(list[Event]):
    """What a run told."""

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self if isinstance(event, kind)]

    @property
    def result(self) -> Result:
        return fold(self)


def small(*steps: str, **script: Any) -> ScriptedEngine:
    return ScriptedEngine("small", steps=steps, **script)


def base(*steps: str, **script: Any) -> ScriptedEngine:
    return ScriptedEngine("base", steps=steps, answer="It is \\boxed{8}.", **script)


async def run(drafter: ScriptedEngine, judge: ScriptedEngine, **settings: Any) -> Told:
    engines: Mapping[Role, ScriptedEngine] = {"base": judge, "small": drafter}
    async with SpecReason(Settings(), engines=engines) as session:
        reasoning = ReasoningSettings.model_validate({"on_reject": "keep_prefix"} | settings)
        return Told([event async for event in session.stream("What?", reasoning=reasoning)])


async def story(judge: ScriptedEngine | None = None, **settings: Any) -> Told:
    judge = judge or base(RIGHT, END, scores={"Three is even": "0"})
    return await run(small(DRAFT, END), judge, **settings)


def authors(told: Told) -> list[Role]:
    return [step.author for step in told.result.steps]


def scores(judge: ScriptedEngine) -> int:
    return sum(call.kind == "score" for call in judge.calls)


async def test_what_is_right_before_the_mistake_is_kept() -> None:
    told = await story()
    step, _ = told.result.steps
    assert (step.text, step.origin, step.author) == (RIGHT, "kept_prefix", "base")
    assert (step.small_tokens, step.tokens) == (6, len(words(RIGHT)))
    assert step.discarded == len(words(DRAFT)) - 6
    assert step.draft == DRAFT
    assert authors(told) == ["base", "small"]


async def test_it_is_the_same_chain_as_without_in_fewer_tokens_of_the_base_model() -> None:
    told, whole = await story(), await story(on_reject="rewrite")
    assert told.result.thinking == whole.result.thinking
    assert told.result.tokens["base"].generated == whole.result.tokens["base"].generated - 6 + 2  # two scores


async def test_tokens_add_up() -> None:
    for written in (await story()).result.tokens.values():
        assert written.generated == written.kept + written.discarded + written.scored


async def test_where_nothing_is_accepted_the_whole_step_is_rewritten() -> None:
    told = await story(base(RIGHT, END, scores={"One": "0", "That is all": "9"}))
    step = told.result.steps[0]
    assert (step.text, step.origin, step.small_tokens) == (RIGHT, "rewrite", 0)


async def test_a_draft_of_one_sentence_is_not_asked_about_again() -> None:
    judge = base("Good.\n\n", END, scores={"Bad": "0"})
    await run(small("Bad.\n\n", END), judge)
    assert scores(judge) == 2  # one a draft


@given(parts=st.integers(1, 40), mistake=st.integers(0, 39))
async def test_halving_finds_the_mistake(parts: int, mistake: int) -> None:
    wrong = [f"s{n}{' oops' if n >= mistake else ''}." for n in range(parts)]
    right = [f"s{n}." for n in range(parts)]
    judge = base(" ".join(right) + "\n\n", END, scores={"oops": "0"})
    told = await run(small(" ".join(wrong) + "\n\n", END), judge)
    assert told.result.steps[0].text == " ".join(right) + "\n\n"
    asked = scores(judge)
    assert asked <= 2 + parts.bit_length()
    if mistake < parts:
        assert told.result.steps[0].small_tokens == len(words(" ".join(right[:mistake])))


@given(st.text(alphabet="ab .\n!", max_size=30))
def test_a_beginning_has_content_and_is_not_all(text: str) -> None:
    for end in inner_ends(text):
        assert text[:end].strip()
        assert text[end:].strip()


async def test_models_with_other_tokens_and_without_any_tell_the_same_story() -> None:
    wrong = {"Three is even": "0"}
    same = (await story()).result
    other = (await story(base(RIGHT, END, scores=wrong, vocabulary="other"))).result
    assert (other.thinking, other.tokens) == (same.thinking, same.tokens)
    bare = await run(small(DRAFT, END, token_ids=False), base(RIGHT, END, scores=wrong, token_ids=False))
    assert bare.result.thinking == same.thinking


@pytest.mark.parametrize("lookahead", [1, 4])
async def test_running_ahead_changes_nothing(lookahead: int) -> None:
    ahead = await story(lookahead=lookahead)
    assert [s.text for s in ahead.result.steps] == [s.text for s in (await story()).result.steps]
    assert ahead.result.steps[0].small_tokens


async def test_room_for_what_is_missing_is_kept() -> None:
    told = await story(token_budget=8)
    assert told.result.ended == "budget"
    assert told.result.thinking == "One is odd. Two is even. Three is"


class Silent(ScriptedEngine):
    """Cannot tell the tokens of a text that it did not write."""

    async def tokenize(self, text: str, *, control: bool = False) -> Segment:
        if text.startswith("One"):
            raise EngineError("cannot read", engine=self.name)
        return await super().tokenize(text, control=control)


async def test_of_a_small_model_that_cannot_count_tokens_nothing_is_kept() -> None:
    judge = base(RIGHT, END, scores={"Three is even": "0"})
    drafter = Silent("small", steps=(DRAFT, END), answer="")
    told = await run(drafter, judge)
    assert (told.result.steps[0].text, told.result.steps[0].small_tokens) == (RIGHT, 0)
    assert authors(told) == ["base", "small"]


async def test_a_step_keeps_its_longest_length() -> None:
    told = await story(max_step_tokens=12)
    step = told.result.steps[0]
    assert step.text == "One is odd. Two is even. Three is odd. So we go"
    assert step.tokens == 12


async def test_of_a_circle_nothing_is_kept() -> None:
    judge = base("One. Two.\n\n", "Else.\n\n", END)
    told = await run(small("One. Two.\n\n", "One. Two.\n\n", END), judge)
    assert told.of(StepRejected)[0].reason == "repetition"
    assert (told.result.steps[1].text, told.result.steps[1].origin) == ("Else.\n\n", "rewrite")


async def test_a_beginning_that_states_the_answer_is_not_kept() -> None:
    judge = base("So \\boxed{9}. No, \\boxed{8}.\n\n", scores={"Yes": "0"})
    told = await run(small("So \\boxed{9}. Yes, 7.\n\n"), judge)
    assert told.result.steps[0].small_tokens == 0


def test_the_number_of_a_list_s_line_ends_nothing() -> None:
    text = "1. Two and two is 4.\n2. Twice 4 is 9.\n\n"
    assert [text[:end] for end in inner_ends(text)] == ["1. Two and two is 4.\n"]


@given(budget=st.integers(8, 40), counts=st.sampled_from(["kept", "generated"]))
async def test_no_budget_is_too_tight(budget: int, counts: str) -> None:
    told = await story(token_budget=budget, budget_counts=counts)
    steps = told.result.steps
    assert all(step.base_tokens for step in steps if step.author == "base")  # nobody is asked for no tokens
    kept = sum(step.tokens for step in steps)
    discarded = sum(event.tokens for event in told.of(StepRejected)) - sum(
        step.small_tokens for step in steps if step.origin == "kept_prefix"
    )
    assert kept + discarded * (counts == "generated") <= budget
    assert told.result.answer == "8"
