"""What a schedule puts in order: drafting, judging, hedging on the engines of one run."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from specreason.engines.waiting import waiting
from specreason.errors import EngineError
from specreason.reasoning.chain import Chain, Role
from specreason.reasoning.plan import Plan
from specreason.reasoning.policies.contract import Boundary, Known, More, Reject, Signal, Situation
from specreason.reasoning.schedule import Draft, Drafted, DrafterFailed, Hold, Verified, favourite
from specreason.reasoning.steps import Step, normalised
from specreason.reasoning.thinking import Thinking

T = TypeVar("T")


class Speculating:
    """See `schedule.Speculation`. `plan` is the one in force."""

    def __init__(self, thinking: Thinking, plan: Plan) -> None:
        self._thinking = thinking
        self._plan = plan

    async def draft(self, chain: Chain, row: int = 0) -> Drafted | None:
        """See `Speculation.draft`. Drafts that come out alike are one."""
        thinking = self._thinking
        if thinking.end_of(chain) is not None or await author(thinking, chain) != "small":
            return None
        if thinking.base is not None and not self._plan.hedge:
            await thinking.base.hold()
        left = thinking.left(chain)
        pens, unused = thinking.pens(row, self._plan.drafts)
        for pen in unused:
            await pen.hold()
        try:
            written = await _all(pen.next_step(chain, "draft", left) for pen in pens)
        except EngineError as error:
            raise DrafterFailed(error) from error
        steps: dict[str, Step] = {}
        for step, _ in written:
            steps.setdefault(normalised(step.text), step)
        unlike = tuple(steps.values())
        # What stands is read by both models anyway; a schedule may have to know it before.
        drafts = [Draft(step, await thinking.extended(chain, step, "small")) for step in unlike]
        return Drafted(
            drafts=tuple(drafts),
            seconds=max(seconds for _, seconds in written),
            favourite=favourite(unlike),
            tokens=sum(step.tokens for step, _ in written),
        )

    async def hold(self, row: int = 0) -> None:
        """See `Speculation.hold`."""
        for pen in self._thinking.pens(row, 0)[1]:
            await pen.hold()

    async def hedge(self, chain: Chain) -> None:
        """See `Speculation.hedge`."""
        base = self._thinking.base
        if base is not None and self._thinking.end_of(chain) is None:
            await base.begin(chain, "rewrite", self._thinking.left(chain))

    async def verify(self, chain: Chain, drafted: Drafted, before_measuring: Hold) -> tuple[Verified, ...]:
        """See `Speculation.verify`. A draft that goes round in a circle is rejected unasked."""
        return await _all(
            verdict_on(self._thinking, chain, draft, before_measuring) for draft in drafted.drafts
        )


async def verdict_on(
    thinking: Thinking, chain: Chain, draft: Draft, before_measuring: Hold | None = None
) -> Verified:
    """The policy's verdict; `before_measuring` is awaited before any model is asked anything."""
    policy, known = thinking.policy, Known()
    if chain.repeats(draft.step) and "base" in policy.roles:
        return Verified(Reject("repetition"), known)
    while isinstance(verdict := policy.verdict(draft.step, known), More):
        if before_measuring is not None:
            await before_measuring()
        known = await measured(thinking, known, verdict.signal, chain, draft)
    return Verified(verdict, known)


async def author(thinking: Thinking, chain: Chain) -> Role:
    """Who is to write after `chain`, by the policy; drafts that are not decided yet are taken to stand."""
    undecided = chain.length - thinking.chain.length
    boundary, known = Boundary(chain.length, (*thinking.verdicts, *(True,) * undecided)), Known()
    while isinstance(choice := thinking.policy.author(boundary, known), More):
        known = await measured(thinking, known, choice.signal, chain, None)
    return choice.role


async def measured(
    thinking: Thinking, known: Known, signal: Signal[object], chain: Chain, draft: Draft | None
) -> Known:
    """`known` and one more signal."""
    run = thinking.run
    step, after = (None, None) if draft is None else (draft.step, draft.after)
    situation = Situation(chain, step, after, run.engines, run.session)
    with waiting():
        return known.plus(signal, await signal.measure(situation))


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> tuple[T, ...]:
    """The results, in order. If one fails the others are cancelled and its error is raised."""
    first, *others = work
    if not others:
        return (await first,)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in (first, *others)]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return tuple(task.result() for task in tasks)
