"""A small study on scripted engines, for the tests of this folder."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from specreason.config import Settings
from specreason.config.scheme import Role
from specreason.engines.scripted import ScriptedEngine
from specreason.errors import EngineError
from specreason.eval.cells import SCHEME, cells_of
from specreason.eval.plan import Plan
from specreason.eval.rows import Row
from specreason.eval.runner import opened_study
from specreason.eval.store import Store
from specreason.eval.tasks import Problem, Task

SMALL = ("Two and two is 4.\n\n", "Twice that is 9.\n\n", "That is all.\n</think>")
THRESHOLD = "policy.specreason.threshold"
BASE = ("Base adds to 4.\n\n", "Twice that is 8.\n\n", "Base is done.\n</think>")
SCHEMES = ("base", "small", "specreason")


def task(count: int = 6, answer: str = "8") -> Task:
    problems = tuple(Problem(f"p{n}", f"Problem {n}: twice 2 + 2?", answer) for n in range(count))
    return Task("scripted", "a test", problems)


@dataclass(slots=True)
class Counting(ScriptedEngine):
    """Fails for good once it has been asked `alive_for` times."""

    alive_for: int = 1_000_000
    dead: EngineError | None = None

    def _called(self, kind: Any, prompt: Any, session: str) -> Any:
        call, failure = ScriptedEngine._called(self, kind, prompt, session)
        if self.dead is not None and len(self.calls) > self.alive_for:
            failure = self.dead
        return call, failure


def engines(**base: Any) -> Mapping[Role, Counting]:
    return {
        "base": Counting("base", steps=BASE, answer="It is \\boxed{8}.", scores={"is 9": "2"}, **base),
        "small": Counting("small", steps=SMALL, answer="It is \\boxed{9}."),
    }


def plan(
    asked: Task | None = None,
    *,
    samples: int = 1,
    schemes: Sequence[str] = SCHEMES,
    concurrency: Sequence[int] = (1,),
    thresholds: Sequence[float] = (7.0,),
) -> Plan:
    varied: dict[str, Sequence[JsonValue]] = {SCHEME: [*schemes], THRESHOLD: [*thresholds]}
    return Plan(asked or task(), cells_of(varied, concurrency), Settings(), samples)


def run(
    path: Path,
    what: Plan,
    pair: Mapping[Role, ScriptedEngine] | None = None,
    *,
    stop_after: int | None = None,
    decoder: ScriptedEngine | None = None,
) -> list[Row]:
    """Run a study to its end, or leave it after some rows, as a kill would."""
    return asyncio.run(_run(path, what, pair or engines(), stop_after, decoder))


async def _run(
    path: Path,
    what: Plan,
    pair: Mapping[Role, ScriptedEngine],
    stop_after: int | None,
    decoder: ScriptedEngine | None,
) -> list[Row]:
    made: list[Row] = []
    with Store(path, create=True) as store:
        async with (
            opened_study(what, store, engines=pair, decoder=decoder) as study,
            aclosing(study.rows()) as rows,
        ):
            async for row in rows:
                made.append(row)
                if len(made) == stop_after:
                    break
    return made
