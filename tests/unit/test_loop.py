"""The loop from question to answer, on scripted engines."""

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from specreason.config import ReasoningSettings, SamplingSettings, Settings
from specreason.engines.protocol import Segment
from specreason.engines.scripted import ScriptedEngine
from specreason.errors import ContextOverflow, EngineError, EngineUnavailable
from specreason.reasoning.chain import Role
from specreason.reasoning.events import (
    AnswerDelta,
    CallEnded,
    DrafterLost,
    Event,
    Failed,
    Finished,
    Started,
    StepAccepted,
    StepDrafted,
    StepRejected,
    StepRewritten,
    StepScored,
    ThinkingEnded,
    from_json,
    to_json,
)
from specreason.reasoning.result import Result, fold
from specreason.session import SpecReason

SMALL = ("Two and two is 4.\n\n", "Twice that is 9.\n\n", "That is all.\n</think>")
BASE = ("Base adds to 4.\n\n", "Twice that is 8.\n\n", "Base is done.\n</think>")
ANSWER = "It is \\boxed{8}."


def small(steps: Sequence[str] = SMALL, **settings: Any) -> ScriptedEngine:
    return ScriptedEngine("small", steps=steps, answer="Small says \\boxed{9}.", **settings)


def base(steps: Sequence[str] = BASE, **settings: Any) -> ScriptedEngine:
    return ScriptedEngine("base", steps=steps, answer=ANSWER, **settings)


@dataclass
class Told:
    """What a run told, and how it broke off if it did."""

    events: list[Event] = field(default_factory=list[Event])
    error: EngineError | None = None

    @property
    def result(self) -> Result:
        return fold(self.events)

    @property
    def authors(self) -> list[Role]:
        return [step.author for step in self.result.steps]

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]

    def of[T](self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


async def run(
    drafter: ScriptedEngine, judge: ScriptedEngine, sampling: SamplingSettings | None = None, **settings: Any
) -> Told:
    told = Told()
    engines: Mapping[Role, ScriptedEngine] = {"base": judge, "small": drafter}
    async with SpecReason(Settings(), engines=engines) as session:
        try:
            stream = session.stream("What?", reasoning=ReasoningSettings(**settings), sampling=sampling)
            async with aclosing(stream) as events:
                async for event in events:
                    told.events.append(event)
        except EngineError as error:
            told.error = error
    return told


def kinds(engine: ScriptedEngine) -> list[str]:
    return [call.kind for call in engine.calls]


def untimed(value: Any) -> Any:
    """Without what depends on the clock."""
    timed = {"at", "seconds", "total_s", "prefill_s", "decode_s"}
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in timed}  # pyright: ignore
    if isinstance(value, list | tuple):
        return [untimed(v) for v in value]  # pyright: ignore
    return value
