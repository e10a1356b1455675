"""Settings of the rule in a request, and what the reported steps then say: the records of the loop."""

import json

import pytest
from pydantic import TypeAdapter
from serving import THINKING, Json, Served, base, pair, served, small

from specreason.reasoning.records import StepRecord

RECORD = TypeAdapter(StepRecord)
# The mistake is in the second sentence of the second step; what is before it can stay.
DRAFTS = ("Two and two is 4.\n\n", "Now twice that. Twice that is 9. So it is.\n\n", "That is all.\n</think>")
REWRITES = ("Base adds to 4.\n\n", " Twice that is 8.\n\n", "Base is done.\n</think>")


async def reply_to(state: Served, **specreason: object) -> Json:
    reply = await state.chat(specreason={"include_steps": True, **specreason})
    assert reply.status_code == 200, reply.text
    return reply.json()


async def steps_of(state: Served, **specreason: object) -> list[StepRecord]:
    (choice,) = (await reply_to(state, **specreason))["specreason"]["choices"]
    return [RECORD.validate_python(step) for step in choice["steps"]]


async def streamed_steps(state: Served, **specreason: object) -> list[StepRecord]:
    reply = await state.chat(stream=True, specreason={"include_steps": True, **specreason})
    lines = [line.removeprefix("data: ") for line in reply.text.split("\n\n")]
    reports = [json.loads(line).get("specreason", {}) for line in lines if line.startswith("{")]
    assert not any("steps" in report.get("choice", {}) for report in reports)
    return [RECORD.validate_python(report["step"]) for report in reports if "step" in report]


def threshold(value: float) -> Json:
    return {"specreason": {"threshold": value}}


async def test_the_threshold_of_a_request_changes_its_verdicts_and_no_other_ones() -> None:
    async with served(pair(base(scores={"is 9": "2", "is 4": "8"}))) as state:
        strict = await steps_of(state, policy=threshold(9))
        assert [step.outcome for step in strict] == ["rejected", "rejected", "accepted"]
        lenient = await steps_of(state, policy=threshold(2))
        assert [step.outcome for step in lenient] == ["accepted", "accepted", "accepted"]
        usual = await steps_of(state)
        assert [step.outcome for step in usual] == ["accepted", "rejected", "accepted"]
    assert [step.score for step in strict] == [8, 2, 9]


async def test_the_steps_are_reported_as_they_came_about() -> None:
    async with served() as state:
        first, second, third = await steps_of(state)
        assert "steps" not in (await state.chat()).json()["specreason"]["choices"][0]
    assert [step.index for step in (first, second, third)] == [0, 1, 2]
    assert [step.origin for step in (first, second, third)] == ["draft", "rewrite", "draft"]
    assert [step.outcome for step in (first, second, third)] == ["accepted", "rejected", "accepted"]
    assert [step.signals for step in (first, second, third)] == [{"judge_score": n} for n in (9, 2, 9)]
    assert (first.reason, second.reason) == (None, "score")
    assert (first.draft, second.draft) == (None, "Twice that is 9.\n\n")
    assert (second.author, second.text) == ("base", "Twice that is 8.\n\n")
    assert set(first.seconds) == {"draft", "score"}
    assert set(second.seconds) == {"draft", "score", "rewrite"}
    assert all(seconds >= 0 for step in (first, second, third) for seconds in step.seconds.values())


async def test_a_stream_reports_the_same_records_each_with_its_delta() -> None:
    async with served() as state:
        streamed, whole = await streamed_steps(state), await steps_of(state)
    assert "".join(step.text for step in streamed) == THINKING

    def timeless(steps: list[StepRecord]) -> list[Json]:
        return [RECORD.dump_python(step, exclude={"seconds"}) for step in steps]

    assert timeless(streamed) == timeless(whole)
    assert [set(step.seconds) for step in streamed] == [set(step.seconds) for step in whole]


async def test_a_step_that_only_ends_thinking_is_in_the_stream_too() -> None:
    async with served(pair(base(), small(("Two and two is 4.\n\n", "</think>")))) as state:
        streamed, whole = await streamed_steps(state), await steps_of(state)
    assert [(step.text, step.tokens) for step in whole] == [("Two and two is 4.\n\n", 6), ("", 1)]
    assert [(step.text, step.tokens) for step in streamed] == [(step.text, step.tokens) for step in whole]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"policy": threshold(9)},
        {"policy": {"specreason": {"first_n_base_steps": 1}}},
        {"on_reject": "keep_prefix"},
        {"on_reject": "hedge"},
        {"lookahead": 2},
        {"drafts_per_step": 3},
        {"scheme": "base"},
    ],
)
async def test_the_tokens_of_the_steps_add_up_with_the_usage(given: Json) -> None:
    async with served(pair(base(REWRITES), small(DRAFTS))) as state:
        reply = await reply_to(state, **given)
    steps = [RECORD.validate_python(step) for step in reply["specreason"]["choices"][0]["steps"]]
    usage = reply["usage"]
    models = usage["specreason"]
    thinking = usage["completion_tokens_details"]["reasoning_tokens"]
    answer = usage["completion_tokens"] - thinking
    assert sum(step.tokens for step in steps) == thinking
    assert sum(step.base_tokens for step in steps) == models["base"]["kept"] - answer
    nothing: Json = {"kept": 0, "discarded": 0}
    assert sum(step.small_tokens for step in steps) == models.get("small", nothing)["kept"]
    discarded = models.get("small", nothing)["discarded"]
    if "lookahead" in given:  # of later steps, which were then drafted anew
        assert discarded > sum(step.discarded for step in steps) > 0
    else:
        assert discarded == sum(step.discarded for step in steps)
    for counts in models.values():
        assert counts["kept"] + counts["scored"] + counts["discarded"] == counts["generated"]


async def test_a_request_may_keep_the_good_beginning_of_a_rejected_draft() -> None:
    async with served(pair(base(REWRITES), small(DRAFTS))) as state:
        _, kept, _ = await steps_of(state, on_reject="keep_prefix")
        _, rewritten, _ = await steps_of(state, on_reject="rewrite")
    assert (kept.origin, kept.outcome, kept.reason) == ("kept_prefix", "rejected", "score")
    assert kept.draft == DRAFTS[1]
    assert kept.text == "Now twice that. Twice that is 8.\n\n"
    assert (kept.author, kept.small_tokens) == ("base", 3)
    assert (rewritten.origin, rewritten.small_tokens) == ("rewrite", 0)
