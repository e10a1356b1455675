"""The runs of a study, one wave after another, in an order that treats all cells alike.

A wave is one cell on one block of problems. Within a block every cell has its turn, and who begins changes
from block to block, so that a machine that drifts or slows down hits all alike. One problem makes a block if
nothing runs at once; else a block is large enough to keep the engines busy, and a wave loads them with one
cell only, since the latency of a cell under load must not depend on what another one does.

Before a block (in this process: before each wave) each model reads its problems once, unmeasured: so every
cell finds the prompt equally cached, and the first cell of a session pays for no warm-up.
"""

import asyncio
import time
import zlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

from specreason.config import ReasoningSettings, SamplingSettings
from specreason.errors import EngineError, EngineTimeout, EngineUnavailable, InputError
from specreason.eval.grader import Grader
from specreason.eval.grid import Cell
from specreason.eval.rows import Row, compact, row_of
from specreason.eval.store import RunKey, Store
from specreason.eval.tasks import Problem, Task
from specreason.reasoning.events import Event, Failed
from specreason.reasoning.result import Tally
from specreason.session import SpecReason

# Waves of this many rounds keep most of a wave at its full concurrency.
_ROUNDS = 4
# So many runs in a row that lost their engine: it is not coming back by itself.
_LOST_IN_A_ROW = 5


class StudyStopped(EngineError):
    """The engines are gone; the study can go on when they are back."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: every problem in every cell, `samples` times."""

    task: Task
    cells: Sequence[Cell]
    samples: int
    seed: int
    reasoning: ReasoningSettings
    sampling: SamplingSettings

    @property
    def runs(self) -> int:
        """How many runs there are in all."""
        return len(self.task.problems) * len(self.cells) * self.samples

    def settings(self, cell: Cell) -> str:
        """The settings of the cell's runs, as they are kept in the store."""
        sampling = self.sampling.model_dump(mode="json", exclude={"seed"})
        return compact({"reasoning": cell.reasoning(self.reasoning).model_dump(), "sampling": sampling})


@dataclass(frozen=True, slots=True)
class Wave:
    """Runs of one cell that are made together."""

    cell: Cell
    runs: tuple[RunKey, ...]


def blocks(plan: Plan, done: set[RunKey]) -> Iterator[list[Wave]]:
    """The waves that are left, block by block, in turning order."""
    most = max(cell.concurrency for cell in plan.cells)
    size = 1 if most == 1 else most * _ROUNDS
    number = 0
    for sample in range(plan.samples):
        for start in range(0, len(plan.task.problems), size):
            positions = range(start, min(start + size, len(plan.task.problems)))
            turned = [plan.cells[(number + k) % len(plan.cells)] for k in range(len(plan.cells))]
            number += 1
            waves = [
                Wave(
                    cell, tuple(key for p in positions if (key := RunKey(p, cell.label, sample)) not in done)
                )
                for cell in turned
            ]
            if left := [wave for wave in waves if wave.runs]:
                yield left


def seed_of(plan: Plan, cell: Cell, problem: Problem, sample: int) -> int:
    """The seed of a run, another for each cell too.

    With the same one, two thresholds would draft the same steps, and whichever came second would find them
    in the base model's cache.
    """
    return zlib.crc32(f"{plan.seed} {cell.label} {problem.id} {sample}".encode())


class Study:
    """Makes the runs of a plan that the store does not have yet."""

    def __init__(self, plan: Plan, pair: SpecReason, store: Store, grader: Grader, session: int) -> None:
        self._plan = plan
        self._pair = pair
        self._store = store
        self._grader = grader
        self._session = session
        self._lost = 0

    async def rows(self) -> AsyncGenerator[Row, None]:
        """Each run as it is done and kept. Raises StudyStopped if the engines do not answer any more."""
        for left in blocks(self._plan, self._store.done()):
            if not self._one_cache:
                await self._read(left)
            for wave in left:
                if self._one_cache:
                    await self._read([wave])
                async with aclosing(self._wave(wave)) as rows:
                    async for row in rows:
                        yield row

    @property
    def _one_cache(self) -> bool:
        """Whether a model in this process works here: its one cache still holds the last cell's chain.

        A model that is sure of itself writes the same steps again, and the next cell would find them read.
        Reading the problem drops what follows it. A server's shared cache cannot be told to forget.
        """
        settings = self._pair.settings
        return settings.base.url is None or settings.small.url is None

    async def _read(self, waves: Sequence[Wave]) -> None:
        """Let each model read the problems, so that all cells find the same in the cache: the prompt."""
        for position in sorted({key.position for wave in waves for key in wave.runs}):
            await self._read_one(position)

    async def _read_one(self, position: int) -> None:
        text = self._plan.task.problems[position].text
        for seat in self._pair.seated:  # each is named like the scheme in which it works alone
            one_token = ReasoningSettings.model_validate(
                self._plan.reasoning.model_dump()
                | {"scheme": seat, "token_budget": 1, "answer_tokens": 1, "max_step_tokens": 1}
            )
            began = time.perf_counter()
            with suppress(EngineError, InputError):  # the measured runs will tell of it
                await self._pair.solve(text, reasoning=one_token, sampling=self._plan.sampling)
                self._store.add_reading(self._session, position, seat, time.perf_counter() - began)

    async def _wave(self, wave: Wave) -> AsyncGenerator[Row, None]:
        gate = asyncio.Semaphore(wave.cell.concurrency)

        async def made(key: RunKey) -> Row:
            async with gate:
                return await self._run(wave.cell, key)

        tasks = [asyncio.create_task(made(key)) for key in wave.runs]
        try:
            for finished in asyncio.as_completed(tasks):
                yield await finished
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, cell: Cell, key: RunKey) -> Row:
        plan, problem = self._plan, self._plan.task.problems[key.position]
        seed = seed_of(plan, cell, problem, key.sample)
        sampling = plan.sampling.model_copy(update={"seed": seed})
        started_at, began = time.time(), time.perf_counter()
        events = await self._events(problem, cell.reasoning(plan.reasoning), sampling)
        seconds = time.perf_counter() - began
        tally = Tally()
        for event in events:
            tally.take(event)
        result = tally.result()
        row = row_of(
            position=key.position,
            cell=cell.label,
            sample=key.sample,
            seed=seed,
            session=self._session,
            started_at=started_at,
            seconds=seconds,
            events=events,
            result=result,
            grade=await self._grader.grade(problem, result.answer),
        )
        self._store.add(row, events, problem.text, plan.settings(cell))
        return row

    async def _events(
        self, problem: Problem, reasoning: ReasoningSettings, sampling: SamplingSettings
    ) -> list[Event]:
        """All that a run tells; if it broke off, a `Failed` at the end says why."""
        events: list[Event] = []
        try:
            async with aclosing(
                self._pair.stream(problem.text, reasoning=reasoning, sampling=sampling)
            ) as told:
                async for event in told:
                    events.append(event)
        except (EngineError, InputError) as error:
            if not events or not isinstance(events[-1], Failed):
                events.append(Failed(events[-1].at if events else 0.0, type(error).__name__, str(error)))
            self._note_loss(error)
        else:
            self._lost = 0
        return events

    def _note_loss(self, error: Exception) -> None:
        if not isinstance(error, EngineUnavailable | EngineTimeout):
            return
        self._lost += 1
        if self._lost >= _LOST_IN_A_ROW:
            raise StudyStopped(
                f"{self._lost} runs in a row lost their engine ({error}); when it is back, give the same "
                "command with --retry-errors"
            ) from error
