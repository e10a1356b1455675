"""Measures what a policy asks for, each place in the chain once, and lets it decide."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from types import MethodType
from typing import TypeVar

from specreason.config.scheme import Role
from specreason.engines.metered import MeteredEngine
from specreason.engines.protocol import Engine, Finish, Usage
from specreason.engines.waiting import waiting
from specreason.errors import EngineError, PolicyError, SpecReasonError
from specreason.reasoning.calls import call_ended
from specreason.reasoning.chain import Chain
from specreason.reasoning.events import CallEnded
from specreason.reasoning.gathering import gathered
from specreason.reasoning.policies.contract import Accept, Drafts, More, Reject, StepStart
from specreason.reasoning.run import Run
from specreason.reasoning.schedules.contract import Draft, DrafterFailed, Pause
from specreason.reasoning.signals.contract import Context, Measured, Signal, Signals
from specreason.reasoning.steps import Step
from specreason.reasoning.thinking import Thinking
from specreason.reasoning.writers import ASIDE, Writers

Start = TypeVar("Start")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Place:
    """The end of a chain: what is known of it, and how much of that was reported."""

    signals: Signals = field(default_factory=Signals)
    reported: int = 0
    measuring: asyncio.Lock = field(default_factory=asyncio.Lock)


class Measuring:
    """Of one run."""

    def __init__(
        self, run: Run, thinking: Thinking, writers: Writers, on_call: Callable[[CallEnded], None]
    ) -> None:
        self._run = run
        self._thinking = thinking
        self._writers = writers
        self._on_call = on_call
        self._engines: dict[str, Engine] = {**run.engines, **run.further}
        self._places: dict[Chain, _Place] = {}

    async def author(self, chain: Chain, outcomes: tuple[bool, ...]) -> Role:
        """Who is to write after `chain`."""
        start, place = StepStart(chain.length, outcomes), self._place(chain)
        while isinstance(choice := _asked(self._run.policy.author, start, place.signals), More):
            if choice.signal.of != "place":
                raise PolicyError(f"signal '{choice.signal.name}' is about drafts, and there is none yet")
            await self._of_place(chain, choice.signal, place.signals)
        return choice.role

    async def verdict(
        self, chain: Chain, drafts: Sequence[Draft], favourite: int, before_measuring: Pause | None = None
    ) -> tuple[Accept | Reject, Signals]:
        """The policy's verdict on the drafts after `chain`; all that is known of them and of their place."""
        place, known = self._place(chain), Signals()
        asked = Drafts(tuple(draft.step for draft in drafts), favourite)
        while True:
            both = place.signals.plus(*known.measured)
            decision = _asked(self._run.policy.verdict, asked, both)
            if not isinstance(decision, More):
                return decision, both
            signal = decision.signal
            if signal.price != "free" and before_measuring is not None:
                await before_measuring()
            if signal.of == "place":
                await self._of_place(chain, signal, both)
                continue
            about = (decision.drafts or range(len(drafts))) if signal.of == "draft" else [None]
            missing = [which for which in about if both.of(signal, which or 0) is None]
            if not missing:
                raise PolicyError(f"signal '{signal.name}' was asked for again, and is known already")
            work = (self._measured(chain, signal, which, drafts) for which in missing)
            known = known.plus(*await gathered(work))

    def unreported(self, chain: Chain, of_drafts: Signals | None = None) -> Sequence[Measured]:
        """What was measured of this place since it was last asked for, and all that is known `of_drafts`."""
        place = self._place(chain)
        new, place.reported = place.signals.measured[place.reported :], len(place.signals.measured)
        return [*new, *(one for one in (of_drafts or Signals()).measured if one.signal.of != "place")]

    def known_of(self, chain: Chain) -> Signals:
        """What is known of a place, without its drafts."""
        return self._place(chain).signals

    def leave(self, length: int) -> None:
        """Chains of fewer steps are behind us."""
        self._places = {chain: place for chain, place in self._places.items() if chain.length >= length}

    def _place(self, chain: Chain) -> _Place:
        return self._places.setdefault(chain, _Place())

    async def _of_place(self, chain: Chain, signal: Signal[object], known: Signals) -> None:
        place = self._place(chain)
        if known.of(signal) is not None:
            raise PolicyError(f"signal '{signal.name}' was asked for again, and is known already")
        async with place.measuring:  # a schedule may be here, too
            if place.signals.of(signal) is None:
                place.signals = place.signals.plus(await self._measured(chain, signal, None, ()))

    async def _measured(
        self, chain: Chain, signal: Signal[object], which: int | None, drafts: Sequence[Draft]
    ) -> Measured:
        clock = asyncio.get_running_loop().time
        started = clock()
        context = Context(
            chain=chain,
            drafts=tuple(draft.step for draft in drafts),
            after=tuple(draft.after for draft in drafts),
            which=which or 0,
            engines={
                name: MeteredEngine(engine, partial(self._called, name, signal.name))
                for name, engine in self._engines.items()
            },
            # The small model's own slot may be drafting ahead.
            session=self._run.session if signal.price != "small" else f"{self._run.session}/{ASIDE}",
            write=partial(self._own_step, chain, signal.name),
        )
        try:
            with waiting() if signal.price != "free" else nullcontext():
                value = await signal.measure(context)
        except EngineError as error:
            if signal.price == "base" or "base" not in self._writers.roles:
                raise
            raise DrafterFailed(error) from error  # drafts cannot be judged: the base model goes on alone
        except (DrafterFailed, SpecReasonError):
            raise
        except Exception as error:  # the signal may be another package's
            raise PolicyError(f"signal '{signal.name}' failed: {type(error).__name__}: {error}") from error
        return Measured(signal, which, value, clock() - started)

    def _called(self, role: str, signal: str, usage: Usage, seconds: float, finish: Finish) -> None:
        self._on_call(call_ended(role, "score", usage, seconds, finish, delivered=0, signal=signal))

    async def _own_step(self, chain: Chain, signal: str, role: Role) -> Step:
        def called(call: CallEnded) -> None:
            self._on_call(replace(call, delivered_tokens=0, signal=signal))

        return await self._writers.aside(role, chain, self._thinking.left(chain), called)


def _asked(decide: Callable[[Start, Signals], Answer], about: Start, known: Signals) -> Answer:
    """The policy's answer. Raises PolicyError where it fails: it may be another package's."""
    try:
        return decide(about, known)
    except Exception as error:
        where = (
            f"{type(decide.__self__).__name__}.{decide.__name__}" if isinstance(decide, MethodType) else "?"
        )
        raise PolicyError(f"policy failed in {where}: {type(error).__name__}: {error}") from error
