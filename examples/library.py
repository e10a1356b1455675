"""Solve one problem on the embedded pair, from Python: steps as they come, then the counts.

.venv/bin/specreason models pull
.venv/bin/python examples/library.py
"""

import asyncio
from pathlib import Path

from specreason import Event, SamplingSettings, Settings, SpecReason, StepKept, StepRejected, fold

PROBLEM = Path(__file__).with_name("word_problem.txt").read_text(encoding="utf-8")


async def main() -> None:
    """One run; nothing names a model, so the embedded pair is loaded."""
    settings = Settings(sampling=SamplingSettings(temperature=0))
    events: list[Event] = []
    async with SpecReason(settings) as engine:
        async for event in engine.stream(PROBLEM):
            events.append(event)
            match event:
                case StepRejected():
                    print(f"[{event.index}] draft rejected: {event.reason}")
                case StepKept(step=step):
                    print(f"[{step.index}] {step.author}: {step.text.strip()}")
                case _:
                    pass
    result = fold(events)
    print(f"answer: {result.answer}; {result.accepted} of {result.drafts} drafts accepted")


if __name__ == "__main__":
    asyncio.run(main())
