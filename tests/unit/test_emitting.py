"""The one stream of events: handed over one by one, and never ahead of its reader."""

import asyncio
from contextlib import aclosing

import pytest

from specreason.config import Settings
from specreason.engines.scripted import ScriptedEngine
from specreason.reasoning.emitting import Emitter
from specreason.reasoning.events import AnswerDelta, CallEnded, Event
from specreason.session import SpecReason


def delta(text: str) -> AnswerDelta:
    return AnswerDelta(0.0, text)


async def test_whoever_emits_goes_on_only_once_the_event_was_taken() -> None:
    emitter, done = Emitter(), list[str]()

    async def work() -> None:
        for text in "abc":
            await emitter.emit(delta(text))
            done.append(text)

    async with aclosing(emitter.events_of(work())) as events:
        await anext(events)
        await asyncio.sleep(0.01)
        assert done == []
        await anext(events)
        await asyncio.sleep(0.01)
        assert done == ["a"]


async def test_a_reader_that_stops_reading_stops_the_models() -> None:
    steps = [f"Step {n} is here.\n\n" for n in range(20)]
    engines = {"small": ScriptedEngine("small", steps=steps), "base": ScriptedEngine("base", steps=steps)}
    async with (
        SpecReason(Settings(), engines=engines) as session,
        aclosing(session.stream("What?")) as events,
    ):
        for _ in range(6):
            await anext(events)
        written = engines["small"].calls[-1].generated
        await asyncio.sleep(0.05)
        assert engines["small"].calls[-1].generated == written


async def test_calls_that_are_over_come_before_the_event_that_follows_them() -> None:
    emitter, listened = Emitter(), list[Event]()
    emitter.listeners.append(listened.append)
    call = CallEnded(0.0, "base", "score", 1, 1, 1, 0, 0.1, None, None, "length")

    async def work() -> None:
        emitter.call_ended(call)
        await emitter.emit(delta("a"))

    taken = [event async for event in emitter.events_of(work())]
    assert [event.event for event in taken] == ["call_ended", "answer_delta"]
    assert listened == taken


async def test_an_error_is_raised_after_what_came_before_it() -> None:
    emitter, taken = Emitter(), list[Event]()

    async def work() -> None:
        await emitter.emit(delta("a"))
        raise ValueError("broken")

    async def read() -> None:
        async for event in emitter.events_of(work()):
            taken.append(event)

    with pytest.raises(ValueError, match="broken"):
        await read()
    assert taken == [delta("a")]


async def test_leaving_cancels_the_work_and_waits_for_its_end() -> None:
    emitter, ended = Emitter(), asyncio.Event()

    async def work() -> None:
        try:
            await emitter.emit(delta("a"))
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.set()

    async with aclosing(emitter.events_of(work())) as events:
        await anext(events)
    assert ended.is_set()
