"""Where a request's time went: in the queue, at the models, with us; each moment counted once."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from serving import Json, Served, base, pair, served, small

from specreason.errors import EngineUnavailable

SLOW = 0.05  # seconds a token: a request of about two seconds
OURS_S = 0.5  # far more than we need, even beside other work; the models take longer


async def times(state: Served, **body: Any) -> Json:
    return (await state.chat(**body)).json()["specreason"]


def logged(caplog: pytest.LogCaptureFixture) -> list[Mapping[str, Any]]:
    told: list[Any] = [record.msg for record in caplog.records if record.name == "specreason.server"]
    return [line for line in told if line["event"] == "request" and "queue_s" in line]


async def test_siblings_do_not_queue_for_one_another() -> None:
    async with served(pair(delay_s=0.01), concurrency=1) as state:
        report = await times(state, n=3)
        assert report["total_s"] > 0.8
        assert report["queue_s"] < 0.1
        assert report["overhead_s"] < OURS_S


async def test_choices_side_by_side_wait_for_their_models_once() -> None:
    async with served(pair(delay_s=0.01), concurrency=2) as state:
        report = await times(state, n=3)
        assert report["queue_s"] < 0.1
        assert report["overhead_s"] < OURS_S


async def test_waiting_for_others_is_the_queue() -> None:
    async with served(pair(delay_s=0.02), concurrency=1) as state:
        first = asyncio.create_task(times(state))
        await asyncio.sleep(0.1)
        second = await times(state, n=2)
        await first
        assert second["queue_s"] > 0.4
        assert second["total_s"] - second["queue_s"] > 1.0
        assert second["overhead_s"] < OURS_S


async def test_a_call_that_is_cut_was_the_models_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with served(pair(delay_s=0.5), request_timeout=0.8) as state:
        assert (await state.chat()).status_code == 504
        assert (await state.chat(n=2, stream=True)).status_code in {200, 504}
    for line in logged(caplog):
        assert line["seconds"] > 0.7
        assert line["overhead_s"] < OURS_S
    assert len(logged(caplog)) == 2


async def test_a_wait_for_a_turn_that_is_given_up_was_the_queues_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with served(pair(delay_s=SLOW), concurrency=1) as state:
        first = asyncio.create_task(state.chat())
        await asyncio.sleep(0.1)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await state.chat()
        await first
    gone = next(line for line in logged(caplog) if line["outcome"] == "client_gone")
    assert gone["queue_s"] > 0.35
    assert gone["overhead_s"] < OURS_S


async def test_waiting_for_a_model_that_broke_off_is_not_ours() -> None:
    gone = EngineUnavailable("gone", engine="base")
    broken = base(failures={1: gone, 2: gone, 3: gone}, fails_after=1)
    async with served(pair(broken, small()), resume_within=30) as state:
        report = await times(state)
        assert report["choices"][0]["interruptions"] == 1
        assert report["total_s"] > 0.2
        assert report["overhead_s"] < report["total_s"] / 2
