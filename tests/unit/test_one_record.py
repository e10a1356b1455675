"""Result, server, study, terminal, report and trace say the same of every step: they read one record."""

import asyncio
from io import StringIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from specreason import Settings, SpecReason
from specreason.cli.display import StepDisplay
from specreason.engines.scripted import ScriptedEngine
from specreason.errors import EngineError
from specreason.eval.grading import Grade
from specreason.eval.report.page import traced_steps
from specreason.eval.rows import KeptStep, row_of, steps_from_text, steps_to_text
from specreason.reasoning.events import Event, StepKept, StepRejected, from_json, to_json
from specreason.reasoning.result import fold
from specreason.server.account import Account

NAMES = ("Alpha", "Beta", "Gamma")
STEPS = 4
ANSWER = "It is \\boxed{8}."


def lines(name: str) -> list[str]:
    """Steps of two sentences, so that a beginning may be kept."""
    return [
        f"{name} {n} begins. {name} {n} ends.{chr(10) * 2 if n + 1 < STEPS else f'{chr(10)}</think>'}"
        for n in range(STEPS)
    ]


stories: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "scores": st.fixed_dictionaries(
            {
                f"{name} {n} ends": st.sampled_from(["1", "3", "7", "9", "x"])
                for name in NAMES
                for n in range(STEPS)
            }
        ),
        "reasoning": st.fixed_dictionaries(
            {
                "drafts_per_step": st.integers(1, 3),
                "lookahead": st.integers(0, 2),
                "on_reject": st.sampled_from(["rewrite", "hedge", "keep_prefix"]),
                "scheme": st.sampled_from(["specreason", "specreason", "base", "small"]),
                "token_budget": st.sampled_from([9, 25, 1000]),
                "budget_counts": st.sampled_from(["kept", "generated"]),
                "speculate": st.sampled_from(["always", "auto"]),
            }
        ),
        "first": st.integers(0, 2),
        "small_fails": st.none() | st.integers(0, STEPS),
    }
)


async def run(story: dict[str, Any]) -> tuple[list[Event], dict[str, ScriptedEngine]]:
    rows = [lines(name) for _ in range(3) for name in NAMES]
    failing = (
        {} if story["small_fails"] is None else {story["small_fails"]: EngineError("gone", engine="small")}
    )
    engines = {
        "small": ScriptedEngine("small", steps=rows[0], variants=rows[1:], answer=ANSWER, fails_at=failing),
        "base": ScriptedEngine("base", steps=lines("Base"), answer=ANSWER, scores=story["scores"]),
    }
    knobs = {"specreason": {"first_n_base_steps": story["first"]}}
    asked = Settings.model_validate({"reasoning": story["reasoning"], "policy": knobs})
    events: list[Event] = []
    async with SpecReason(asked, engines=engines) as session:
        try:
            async for event in session.stream("What?"):
                events.append(event)
        except EngineError:
            pass
    return events, engines


@given(stories)
@settings(max_examples=150, deadline=None)
def test_all_readers_agree(story: dict[str, Any]) -> None:
    events, engines = asyncio.run(run(story))
    records = [event.step for event in events if isinstance(event, StepKept)]
    result = fold(events)
    assert list(result.steps) == records

    account = Account(0, include_steps=True)
    terminal = StringIO()
    console = Console(file=terminal, width=200)
    display = StepDisplay(console)
    for event in events:
        account.take(event)
        display.show(event)
    report = account.report(steps=True)
    assert report.steps == records
    assert (report.drafts, report.accepted) == (result.drafts, result.accepted)

    row = row_of(
        position=0, cell="x", sample=0, seed=0, session=0, started_at=0.0, seconds=1.0,
        events=events, result=result, grade=Grade(True, ""),
    )  # fmt: skip
    assert row.steps == [KeptStep(s.author, s.origin, s.outcome, s.signals, s.reason) for s in records]
    assert steps_from_text(steps_to_text(row.steps)) == row.steps
    assert row.thinking_tokens == sum(step.tokens for step in records)

    traced = traced_steps(events)
    assert [(step.author, step.text) for step in traced] == [(s.author, s.text.strip()) for s in records]
    shown = terminal.getvalue()
    for record, step in zip(records, traced, strict=True):
        if record.score is not None:
            assert f"judge_score {record.score:.3g}" in step.note
            assert f"score {record.score:.3g}" in shown
        assert (step.draft is not None) == (record.outcome == "rejected")
    assert [from_json(to_json(event)) for event in events] == events

    # ---- what is counted, once and the same everywhere
    accepted = sum(step.outcome == "accepted" for step in records)
    rejected = sum(isinstance(event, StepRejected) for event in events)
    assert (result.accepted, result.drafts) == (accepted, accepted + rejected)
    for role, engine in engines.items():
        if role not in result.tokens:
            assert not engine.calls
            continue
        tokens = result.tokens[role]
        assert tokens.generated == sum(call.generated for call in engine.calls)
        assert tokens.generated == tokens.kept + tokens.scored + tokens.discarded
        assert (
            account.models()[role].model_dump(include={"generated", "kept", "discarded", "scored"})
            == {name: getattr(tokens, name) for name in ("generated", "kept", "discarded", "scored")}
            == {name: row.tokens[role][name] for name in ("generated", "kept", "discarded", "scored")}
        )
