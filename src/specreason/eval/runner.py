"""The runs of a study, one wave after another (`plan.blocks`), with models that are opened once.

Before a block (models in this process: before each wave) each model reads its problems once, unmeasured: so
every cell finds the prompt equally cached, and the first cell of a session pays for no warm-up.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress

from specreason.config import Scheme
from specreason.config.scheme import Role
from specreason.engines.kinds import in_process
from specreason.engines.names import EngineName, engines_of
from specreason.engines.protocol import Engine
from specreason.errors import EngineError, EngineTimeout, EngineUnavailable, InputError, PolicyError
from specreason.eval.cells import Cell, cell
from specreason.eval.facts import session_facts
from specreason.eval.grader import Grader
from specreason.eval.grading import Grade
from specreason.eval.plan import Plan, Wave, blocks, seed_of, with_room
from specreason.eval.rows import Row, row_of
from specreason.eval.store import RunKey, Store
from specreason.eval.tasks import Problem
from specreason.reasoning.events import Event, Failed
from specreason.reasoning.result import Result, fold
from specreason.session import SpecReason

Check = Callable[[Problem, Result], Awaitable[Grade]]
"""Whether a result is right."""

# So many runs in a row that did not reach their engine: it is not coming back by itself.
_FAILED_IN_A_ROW = 5


class StudyStopped(EngineError):
    """The engines are gone; the study can go on when they are back."""


@asynccontextmanager
async def opened_study(
    plan: Plan,
    store: Store,
    *,
    check: Check | None = None,
    engines: Mapping[str, Engine] | Mapping[Role, Engine] | None = None,
    decoder: Engine | None = None,
) -> AsyncGenerator["Study"]:
    """The plan with its models open (or `engines`, `decoder` of your own) and its cells in the store.

    `check` replaces the grading of answers. Raises what opening a session raises, and ConfigError if the
    store has another study.
    """
    roles = engines_of(Scheme.parse(cell.scheme) for cell in plan.cells)
    async with AsyncExitStack() as stack:
        opening = SpecReason(with_room(plan), roles=roles, engines=engines, decoder=decoder)
        models = await stack.enter_async_context(opening)
        if check is None:
            check = _by_grader(await stack.enter_async_context(Grader()))
        names = {role: engine.model for role, engine in models.pair.engines.items()}
        store.settle({"models": names, **plan.facts()}, plan.task)
        store.add_cells((cell, plan.kept(cell)) for cell in plan.cells)
        pairs: dict[str, SpecReason] = {}
        for each in plan.cells:  # each learns for itself what speculation costs and brings
            own = SpecReason(
                each.settings(plan.common),
                engines={**models.pair.engines, **models.pair.further},
                decoder=models.pair.decoder,
            )
            pairs[each.label] = await stack.enter_async_context(own)
        yield Study(plan, models, pairs, store, check)


def _by_grader(grader: Grader) -> Check:
    async def check(problem: Problem, result: Result) -> Grade:
        return await grader.grade(problem, result.answer)

    return check


class Study:
    """Makes the runs of a plan that the store does not have yet."""

    def __init__(
        self, plan: Plan, models: SpecReason, pairs: Mapping[str, SpecReason], store: Store, check: Check
    ) -> None:
        self._plan = plan
        self._models = models
        self._pairs = pairs  # by cell
        self._store = store
        self._check = check
        self._session = store.start_session(session_facts(models))
        self._failed = 0

    async def rows(self) -> AsyncGenerator[Row, None]:
        """Each run as it is done and kept. Raises StudyStopped if the engines do not answer any more."""
        for left in blocks(self._plan, self._store.done()):
            if not self._in_process:
                await self._read(left)
            for wave in left:
                if self._in_process:
                    await self._read([wave])
                async with aclosing(self._wave(wave)) as rows:
                    async for row in rows:
                        yield row

    @property
    def _in_process(self) -> bool:
        """Whether a model in this process works here: its cache slots still hold the last cell's chains.

        A model that is sure of itself writes the same steps again, and the next cell would find them read.
        Reading the problem drops what follows it. A server's shared cache cannot be made to forget.
        """
        settings = self._models.settings
        return in_process("base", settings.base) or in_process("small", settings.small)

    async def _read(self, waves: Sequence[Wave]) -> None:
        """Let each model read the problems in each of its cache slots: all cells then find only prompts."""
        positions = sorted({key.position for wave in waves for key in wave.runs})
        for name in self._models.pair.named:
            section = self._models.settings.small if name == "small" else self._models.settings.base
            slots = section.parallel if in_process(name, section) else 1
            readings = max(slots, len(positions))
            for number, position in enumerate(itertools.islice(itertools.cycle(positions), readings)):
                seconds = await self._read_one(name, position)
                if seconds is not None and number < len(positions):
                    self._store.add_reading(self._session, position, name, seconds)

    async def _read_one(self, name: EngineName, position: int) -> float | None:
        """Seconds to read a problem; None if that failed, as the measured runs will show."""
        # Each model is named like the scheme in which it works alone.
        one_token = cell(name, token_budget=1, answer_tokens=1, max_step_tokens=1).settings(self._plan.common)
        started = time.perf_counter()
        with suppress(EngineError, InputError):
            text = self._plan.task.problems[position].text
            await self._models.solve(text, reasoning=one_token.reasoning, sampling=one_token.sampling)
            return time.perf_counter() - started
        return None

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
        problem = self._plan.task.problems[key.position]
        seed = seed_of(self._plan, cell, problem, key.sample)
        started_at, started = time.time(), time.perf_counter()
        events = await self._events(self._pairs[cell.label], problem, seed)
        seconds = time.perf_counter() - started
        result = fold(events)
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
            grade=await self._check(problem, result),
        )
        self._store.add(row, events, problem.text, self._plan.kept(cell))
        return row

    async def _events(self, pair: SpecReason, problem: Problem, seed: int) -> list[Event]:
        """All events of a run; if it broke off, a `Failed` at the end says why."""
        events: list[Event] = []
        sampling = pair.settings.sampling.model_copy(update={"seed": seed})
        try:
            async with aclosing(pair.stream(problem.text, sampling=sampling)) as stream:
                async for event in stream:
                    events.append(event)
        except (EngineError, InputError, PolicyError) as error:
            if not events or not isinstance(events[-1], Failed):
                events.append(Failed(events[-1].at if events else 0.0, type(error).__name__, str(error)))
            self._count_failure(error)
        else:
            self._failed = 0
        return events

    def _count_failure(self, error: Exception) -> None:
        if not isinstance(error, EngineUnavailable | EngineTimeout):
            return
        self._failed += 1
        if self._failed >= _FAILED_IN_A_ROW:
            raise StudyStopped(
                f"{self._failed} runs in a row did not reach their engine ({error}); when it is back, give "
                "the same command with --retry-errors"
            ) from error
