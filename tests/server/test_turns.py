"""Turns, queues and ends: who waits, who is sent away, what becomes of work that nobody wants any more."""

import asyncio
import json
import socket
import time
from contextlib import suppress

import httpx2
import pytest
from serving import ANSWER, Json, Served, asking, base, pair, served, small, until

from specreason.engines.scripted import ScriptedEngine

SLOW = 0.05  # seconds a token: a request of about two seconds
PATH = "/v1/chat/completions"


def ended(engine: ScriptedEngine) -> bool:
    last = engine.calls[-1]
    return last.kind == "score" or last.closed_early


async def running(state: Served) -> int:
    return (await state.client.get("/ready")).json()["running"]


async def idle(state: Served, within: float) -> None:
    """Wait until nobody works any more; fail if that takes longer (seconds)."""
    async with asyncio.timeout(within):
        while await running(state):  # noqa: ASYNC110 - asked over the network
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- the queue


async def test_four_times_what_fits_gets_answers_or_429_and_nobody_hangs() -> None:
    async with served(pair(delay_s=0.002), concurrency=4, queue=4) as state:
        replies = await asyncio.gather(*(state.chat(stream=n % 2 == 0) for n in range(32)))
        assert sorted(reply.status_code for reply in replies) == [200] * 8 + [429] * 24
        for reply in replies:
            if reply.status_code == 429:
                assert 1 <= int(reply.headers["retry-after"]) <= 60
                assert reply.json()["error"]["code"] == "queue_full"
                assert reply.json()["error"]["type"] == "rate_limit_error"
            else:
                assert "boxed" in reply.text
        assert (await state.chat()).status_code == 200
        assert await running(state) == 0


async def test_each_choice_needs_a_place() -> None:
    async with served(pair(delay_s=0.01), concurrency=1, queue=2) as state:
        never = await state.chat(n=4)
        assert (never.status_code, never.json()["error"]["param"]) == (400, "n")
        assert "has room for 3" in never.json()["error"]["message"]
        fits = asyncio.create_task(state.chat(n=2))
        await asyncio.sleep(0.05)
        too_many = await state.chat(n=2, stream=True)
        assert (too_many.status_code, too_many.json()["error"]["code"]) == (429, "queue_full")
        assert "retry-after" in too_many.headers
        assert (await state.chat(n=1)).status_code == 200
        assert (await fits).status_code == 200
        assert (await state.chat(n=3)).status_code == 200


async def test_one_at_a_time_in_order_of_arrival() -> None:
    async with served(pair(delay_s=0.002), concurrency=1) as state:
        finished: list[int] = []

        async def ask(number: int) -> None:
            await asyncio.sleep(number * 0.01)
            reply = await state.chat()
            finished.append(number)
            assert reply.status_code == 200

        await asyncio.gather(*(ask(number) for number in range(5)))
        assert finished == [0, 1, 2, 3, 4]


async def test_a_wait_has_an_end() -> None:
    async with served(pair(delay_s=SLOW), concurrency=1, queue_timeout=0.1) as state:
        first = asyncio.create_task(state.chat())
        await asyncio.sleep(0.05)
        second = await state.chat(stream=True)
        assert second.status_code == 429
        assert second.json()["error"]["code"] == "queue_timeout"
        assert (await first).status_code == 200


async def test_one_key_cannot_take_every_turn() -> None:
    keys = ["key-of-the-first", "key-of-the-other"]
    async with served(pair(delay_s=0.01), concurrency=4, per_key=1, api_keys=keys) as state:

        async def ask(key: str) -> httpx2.Response:
            return await state.client.post(PATH, json=asking(), headers={"Authorization": f"Bearer {key}"})

        replies = await asyncio.gather(ask(keys[0]), ask(keys[0]), ask(keys[1]))
        assert sorted(reply.status_code for reply in replies) == [200, 200, 429]
        refused = next(reply for reply in replies if reply.status_code == 429)
        assert refused.json()["error"]["code"] == "key_limit"
        assert (await ask(keys[0])).status_code == 200


async def test_a_request_has_an_end() -> None:
    engines = pair(delay_s=SLOW)
    async with served(engines, request_timeout=0.3) as state:
        reply = await state.chat()
        assert (reply.status_code, reply.json()["error"]["code"]) == (504, "request_timeout")
        several = await state.chat(n=3)
        assert (several.status_code, several.json()["error"]["code"]) == (504, "request_timeout")
        streamed = await state.chat(stream=True)
        assert '"code": "request_timeout"' in streamed.text or streamed.status_code == 504
        assert ended(engines["small"])


async def test_a_request_whose_time_is_up_while_its_client_dawdles_is_told_so() -> None:
    writer = ScriptedEngine("base", steps=["Done.</think>"], answer=" word" * 100_000)
    async with served(pair(writer), request_timeout=0.5, max_tokens=10**6) as state:
        body = asking(stream=True, model="scripted-base", max_tokens=10**6)
        told = b""
        async with state.client.stream("POST", PATH, json=body) as reply:
            await asyncio.sleep(1.0)
            async for part in reply.aiter_raw():
                told = (told + part)[-1000:]
        assert b"request_timeout" in told
        assert told.endswith(b"data: [DONE]\n\n")


# ---------------------------------------------------------------- signs of life


async def test_silence_is_bridged_by_comments() -> None:
    async with served(pair(delay_s=SLOW), heartbeat=0.06) as state:
        reply = await state.chat(stream=True)
        lines = reply.text.split("\n\n")
        assert lines[0] == ": heartbeat"
        assert lines.count(": heartbeat") >= 3
        assert lines[-2] == "data: [DONE]"
        told = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        content = "".join(c["delta"].get("content", "") for chunk in told for c in chunk["choices"])
        assert content == ANSWER


async def test_waiting_for_a_turn_is_bridged_too() -> None:
    async with served(pair(delay_s=SLOW), concurrency=1, heartbeat=0.1) as state:
        first = asyncio.create_task(state.chat())
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        async with state.client.stream("POST", PATH, json=asking(stream=True)) as reply:
            await anext(reply.aiter_raw())
            assert time.perf_counter() - began < 0.5
        await first


# ---------------------------------------------------------------- clients that leave


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("after_s", [0.0, 0.6], ids=["before the first token", "in the middle"])
async def test_leaving_stops_both_models_within_a_second(stream: bool, after_s: float) -> None:
    engines = pair(delay_s=SLOW)
    async with served(engines) as state:
        asked = asyncio.create_task(state.chat(stream=stream))
        await until(lambda: any(engine.calls for engine in engines.values()))
        await asyncio.sleep(after_s)
        asked.cancel()
        await idle(state, within=1.0)
        tokens = [call.generated for engine in engines.values() for call in engine.calls]
        await asyncio.sleep(0.2)
        assert tokens == [call.generated for engine in engines.values() for call in engine.calls]
        assert any(call.closed_early for engine in engines.values() for call in engine.calls)


async def test_leaving_the_queue_gives_the_place_to_the_next() -> None:
    async with served(pair(delay_s=SLOW), concurrency=1, queue=1) as state:
        first = asyncio.create_task(state.chat())
        await asyncio.sleep(0.05)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await state.chat()
        await asyncio.sleep(0.1)
        third = asyncio.create_task(state.chat())
        assert (await first).status_code == (await third).status_code == 200


async def test_a_client_that_reads_nothing_is_not_written_for_and_then_cut_off() -> None:
    words = 400_000
    writer = ScriptedEngine("base", steps=["Done.</think>"], answer=" word" * words)
    async with served(pair(writer), client_timeout=1.0, max_tokens=10**6) as state:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            host, port = state.url.removeprefix("http://").split(":")
            await loop.sock_connect(client, (host, int(port)))
            body = json.dumps(asking(stream=True, model="scripted-base", max_tokens=10**6)).encode()
            head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            await loop.sock_sendall(client, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await until(lambda: writer.calls)
            seen = -1
            while seen != writer.calls[-1].generated:  # until it stands still
                seen = writer.calls[-1].generated
                await asyncio.sleep(0.4)
            assert seen < words / 2
            await idle(state, within=5.0)
        assert writer.calls[-1].closed_early


# ---------------------------------------------------------------- the end of the server


async def test_what_runs_may_finish_when_the_server_stops() -> None:
    async with served(pair(delay_s=0.02), shutdown_deadline=5) as state:
        asked = asyncio.create_task(state.chat())
        await asyncio.sleep(0.1)
        state.server.stop()
        assert (await asked).status_code == 200
        await asyncio.sleep(0.3)
        with pytest.raises(httpx2.ConnectError):
            await state.client.get("/health")


async def test_a_server_that_stops_says_so_until_nothing_runs_any_more() -> None:
    async with served(pair(delay_s=0.03), shutdown_deadline=10) as state:
        asked = asyncio.create_task(state.chat())
        await asyncio.sleep(0.1)
        state.server.stop()
        await asyncio.sleep(0.3)
        async with httpx2.AsyncClient(base_url=state.url, trust_env=False) as balancer:  # a new connection
            ready = await balancer.get("/ready")
            assert (ready.status_code, ready.json()["status"], ready.json()["running"]) == (
                503,
                "stopping",
                1,
            )
            assert (await balancer.get("/health")).status_code == 200
            for stream in (False, True):
                refused = await balancer.post(PATH, json=asking(stream=stream))
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_stopping")
                assert int(refused.headers["retry-after"]) > 0
        assert not asked.done()
        assert (await asked).status_code == 200
        await asyncio.sleep(0.3)
        with pytest.raises(httpx2.ConnectError):
            await state.client.get("/health")


async def test_what_takes_longer_is_cut_with_a_reason() -> None:
    engines = pair(base(delay_s=SLOW), small(delay_s=SLOW))
    async with served(engines, shutdown_deadline=0.3, concurrency=2) as state:
        whole = asyncio.create_task(state.chat())
        stream = asyncio.create_task(state.chat(stream=True))
        await asyncio.sleep(0.5)
        state.server.stop()
        assert (await whole).status_code == 503
        assert (await whole).json()["error"]["code"] == "server_stopping"
        told = (await stream).text
        lines = [line for line in told.split("\n\n") if line]
        assert lines[-1] == "data: [DONE]"
        error: Json = json.loads(lines[-2].removeprefix("data: "))
        assert error["error"]["code"] == "server_stopping"
    assert all(call.closed_early or call.kind == "score" for call in engines["small"].calls[-1:])
