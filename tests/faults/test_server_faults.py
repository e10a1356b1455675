"""A whole server in front of model servers that are killed, cut off, delayed and corrupted."""

import asyncio
import json
import re
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from model_server import TEMPLATE, serving_script
from server import Behaviour, FakeServer, breaks_off, chunk, said, serving
from serving import (
    ANSWER,
    BASE,
    SMALL,
    Served,
    asking,
    base,
    served_with,
    small,
    until,
)

PATH = "/v1/chat/completions"
WORD_S = 0.03  # seconds a word: a request of about two seconds
LONG_ANSWER = " ".join(f"word{n}" for n in range(40)) + " \\boxed{8}."
Role = Literal["base", "small"]


@dataclass
class ModelProcess:
    """A model server in a process of its own, always on the same port."""

    role: Role
    port: int
    script: dict[str, Any]
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        module = Path(__file__).with_name("model_server.py")
        arguments = ["--port", str(self.port), "--script", json.dumps(self.script)]
        self.process = await asyncio.create_subprocess_exec(sys.executable, str(module), *arguments)
        async with asyncio.timeout(60):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def running(self) -> int:
        async with httpx2.AsyncClient(trust_env=False) as client:
            page = (await client.get(self.url.removesuffix("/v1") + "/metrics")).text
        return int(page.rsplit(" ", 1)[-1])


@dataclass
class Pair:
    """Both model processes."""

    base: ModelProcess
    small: ModelProcess

    async def until_running(self, wanted: bool, within: float) -> None:
        """Wait until one of them works, or none does; fail if that takes longer (seconds)."""
        async with asyncio.timeout(within):
            # Asked over the network, so there is no event to wait for.
            while bool(await self.base.running() + await self.small.running()) != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@pytest.fixture
async def models() -> AsyncGenerator[Pair]:
    scores = {"is 9": "2"}
    started = Pair(
        ModelProcess(
            "base",
            free_port(),
            {"name": "base", "steps": BASE, "answer": LONG_ANSWER, "scores": scores, "delay_s": WORD_S},
        ),
        ModelProcess("small", free_port(), {"name": "small", "steps": SMALL, "delay_s": WORD_S}),
    )
    try:
        await asyncio.gather(started.base.start(), started.small.start())
        yield started
    finally:
        await started.base.kill()
        await started.small.kill()


@pytest.fixture
def template(tmp_path: Path) -> Path:
    file = tmp_path / "template.jinja"
    file.write_text(TEMPLATE)
    return file


def engine(url: str, template: Path) -> dict[str, Any]:
    return {"url": url, "chat_template": str(template), "thinking": "on", "context": 8192}


@asynccontextmanager
async def in_front_of(base_url: str, small_url: str, template: Path, **server: Any) -> AsyncGenerator[Served]:
    both = {"base": engine(base_url, template), "small": engine(small_url, template)}
    async with served_with(both, **server) as state:
        yield state


@dataclass
class Stream:
    """A stream as it comes in."""

    thinking: str = ""
    answer: str = ""
    interrupted: int = 0
    error: dict[str, Any] = field(default_factory=dict[str, Any])
    report: dict[str, Any] = field(default_factory=dict[str, Any])
    finish: str | None = None
    done: bool = False

    def take(self, line: str) -> None:
        if line == "data: [DONE]":
            self.done = True
        if not line.startswith("data: {"):
            return
        chunk = json.loads(line.removeprefix("data: "))
        self.error = chunk.get("error") or self.error
        ours = chunk.get("specreason", {})
        self.interrupted += "interrupted" in ours
        self.report = ours.get("choice") or self.report
        for choice in chunk.get("choices", ()):
            self.thinking += choice["delta"].get("reasoning", "")
            self.answer += choice["delta"].get("content", "")
            self.finish = choice["finish_reason"] or self.finish


@asynccontextmanager
async def streaming(state: Served, **body: Any) -> AsyncGenerator[tuple[Stream, asyncio.Task[None]]]:
    stream = Stream()

    async def read() -> None:
        async with state.client.stream("POST", PATH, json=asking(stream=True, **body)) as reply:
            if reply.status_code != 200:
                stream.error = json.loads(await reply.aread())["error"]
                return
            async for line in reply.aiter_lines():
                stream.take(line)

    task = asyncio.create_task(read())
    try:
        yield stream, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


THINKING = "Two and two is 4.\n\nTwice that is 8.\n\nThat is all.\n"


# ---------------------------------------------------------------- a drafter that dies


async def test_a_drafter_that_dies_is_done_without_and_used_again_when_it_is_back(
    models: Pair, template: Path
) -> None:
    async with in_front_of(models.base.url, models.small.url, template) as state:
        async with streaming(state) as (stream, task):
            await until(lambda: stream.thinking)
            await models.small.kill()
            await task
        assert stream.done
        assert stream.finish == "stop"
        assert stream.answer == LONG_ANSWER
        assert "small" in stream.report["degraded"]

        reply = (await state.chat()).json()
        report = reply["specreason"]["choices"][0]
        assert "small" in report["degraded"]
        assert reply["choices"][0]["message"]["reasoning"] == "".join(BASE).removesuffix("</think>")
        assert (await state.client.get("/ready")).json()["status"] in {"degraded", "ready"}

        await models.small.start()
        reply = (await state.chat()).json()
        assert reply["specreason"]["choices"][0]["degraded"] is None
        assert reply["specreason"]["choices"][0]["accepted"] == 2
        assert await state.metric("degraded_total") == 2


# ---------------------------------------------------------------- a base model that dies


@pytest.mark.parametrize("moment", ["thinking", "answer"])
async def test_a_base_model_that_is_back_in_time_goes_on_where_it_was(
    models: Pair, template: Path, moment: str
) -> None:
    async with (
        in_front_of(models.base.url, models.small.url, template, resume_within=60, heartbeat=0.2) as state,
        streaming(state) as (stream, task),
    ):
        await until(lambda: getattr(stream, moment))
        await models.base.kill()
        await until(lambda: stream.interrupted)
        await asyncio.sleep(0.3)
        await models.base.start()
        await task
    assert stream.done
    assert stream.error == {}
    assert stream.thinking == THINKING
    assert stream.answer == LONG_ANSWER
    assert stream.report["interruptions"] == 1
    assert stream.finish == "stop"


async def test_a_base_model_that_stays_away_ends_the_stream_with_an_error(
    models: Pair, template: Path
) -> None:
    async with in_front_of(models.base.url, models.small.url, template, resume_within=0.5) as state:
        async with streaming(state) as (stream, task):
            await until(lambda: stream.thinking)
            await models.base.kill()
            async with asyncio.timeout(20):
                await task
        assert stream.done
        assert stream.error["code"] == "engine_unavailable"
        assert "base" in stream.error["message"]
        assert stream.finish is None
        reply = await state.chat()
        assert reply.status_code == 503
        assert int(reply.headers["retry-after"]) > 0
        assert (await state.client.get("/ready")).status_code == 503
        assert await state.metric("engine_errors_total") >= 1


# ---------------------------------------------------------------- clients that leave


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_the_model_servers_stop_within_a_second_of_a_client_that_leaves(
    models: Pair, template: Path, stream: bool
) -> None:
    async with in_front_of(models.base.url, models.small.url, template) as state:
        asked = asyncio.create_task(state.chat(stream=stream))
        await models.until_running(True, within=20)
        asked.cancel()
        await models.until_running(False, within=1.0)


# ---------------------------------------------------------------- model servers that answer oddly


def text_only(url: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "chat_template": "chatml", "thinking": "off", **more}


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (
            breaks_off(then='data: {"error": {"message": "no", "code": "context_length_exceeded"}}\n\n'),
            400,
            "context_length_exceeded",
        ),
        (
            breaks_off(then='data: {"error": "the prompt is too long: 9 tokens > 8 maximum"}\n\n'),
            400,
            "context_length_exceeded",
        ),
        (breaks_off(then=f"data: {json.dumps(chunk('', 'content_filter'))}\n\n"), 502, "engine_rejected"),
        (breaks_off(then="data: nonsense\n\n"), 502, "engine_rejected"),
    ],
)
async def test_what_cannot_change_is_told_at_once(behaviour: Behaviour, status: int, code: str) -> None:
    async with serving(FakeServer()) as fake:
        sections = {"base": text_only(fake.url), "small": text_only(fake.url)}
        async with served_with(sections, resume_within=60) as state:
            fake.always = behaviour
            fake.completions.clear()
            reply = await asyncio.wait_for(
                state.client.post(PATH, json=asking(specreason={"scheme": "base"})), timeout=20
            )
            assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
            assert len(fake.completions) == 1


async def test_a_model_server_that_takes_text_only_tells_the_prompts_tokens() -> None:
    async with serving(FakeServer(always=said("So \\boxed{156}."))) as fake:
        sections = {"base": text_only(fake.url), "small": text_only(fake.url)}
        async with served_with(sections) as state:
            fake.completions.clear()
            usage = (await state.chat(specreason={"scheme": "base"})).json()["usage"]
            shortest = min(len(body["prompt"]) for body in fake.completions)  # what the server counts
            assert usage["prompt_tokens"] == shortest
            assert usage["total_tokens"] == shortest + usage["completion_tokens"]
            assert await state.metric("conversation_tokens_total") == shortest


# ---------------------------------------------------------------- what stands in between


@asynccontextmanager
async def proxy(to: str, change: Callable[[bytes], bytes], delay_s: float = 0.0) -> AsyncGenerator[str]:
    """A TCP proxy that passes on what `change` makes of the replies, `delay_s` late; its URL."""
    host, port = to.removeprefix("http://").removesuffix("/v1").split(":")

    async def pump(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], bytes],
        late: float,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await asyncio.sleep(late)
                writer.write(change(data))
                await writer.drain()
        writer.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(
            pump(reader, upstream_writer, bytes, 0.0), pump(upstream_reader, writer, change, delay_s)
        )

    listener = await asyncio.start_server(between, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    finally:
        listener.close()


@pytest.fixture
async def fakes() -> AsyncGenerator[tuple[FakeServer, FakeServer]]:
    async with serving_script(base(delay_s=0.005)) as one, serving_script(small(delay_s=0.005)) as other:
        yield one, other


async def test_a_proxy_that_delays_costs_time_only(
    fakes: tuple[FakeServer, FakeServer], template: Path
) -> None:
    async with (
        proxy(fakes[0].url, bytes, delay_s=0.1) as slow,
        in_front_of(slow, fakes[1].url, template, heartbeat=0.05) as state,
    ):
        reply = await state.chat(stream=True)
        assert ": heartbeat" in reply.text
        assert "[DONE]" in reply.text
        assert (await state.chat()).json()["choices"][0]["message"]["content"] == ANSWER


def corrupting(text: bytes) -> Callable[[bytes], bytes]:
    """From the first reply that holds `text` on, its JSON is broken."""
    return lambda data: re.sub(rb'"text"', b'"te"xt"', data) if text in data else data


async def test_a_proxy_that_corrupts_the_base_ends_with_an_error(
    fakes: tuple[FakeServer, FakeServer], template: Path
) -> None:
    async with (
        proxy(fakes[0].url, corrupting(b"boxed")) as bad,
        in_front_of(bad, fakes[1].url, template) as state,
        streaming(state) as (stream, task),
    ):
        await task
        assert stream.done
        assert stream.error["code"] == "engine_rejected"
        assert stream.thinking


async def test_a_proxy_that_corrupts_the_drafter_degrades(
    fakes: tuple[FakeServer, FakeServer], template: Path
) -> None:
    async with (
        proxy(fakes[1].url, corrupting(b"Twice")) as bad,
        in_front_of(fakes[0].url, bad, template) as state,
        streaming(state) as (stream, task),
    ):
        await task
        assert stream.done
        assert stream.answer == ANSWER
        assert stream.report["degraded"]
        assert stream.report["accepted"] == 1


# ---------------------------------------------------------------- who asks, all the way down


async def test_the_callers_trace_reaches_the_model_servers(
    fakes: tuple[FakeServer, FakeServer], template: Path
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    parent = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "tracestate": "vendor=1"}
    async with in_front_of(fakes[0].url, fakes[1].url, template) as state:
        for fake in fakes:
            fake.headers.clear()
        await state.client.post(PATH, json=asking(), headers=parent)
        for fake in fakes:
            assert fake.headers
            assert all(trace in seen.get("traceparent", "") for seen in fake.headers)
            assert all(seen.get("tracestate") == "vendor=1" for seen in fake.headers)
            fake.headers.clear()
        await state.chat()
        assert not any("traceparent" in seen for fake in fakes for seen in fake.headers)
