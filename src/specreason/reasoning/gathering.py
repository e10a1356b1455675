"""Several pieces of work side by side."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def gathered(work: Iterable[Coroutine[Any, Any, T]]) -> tuple[T, ...]:
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
