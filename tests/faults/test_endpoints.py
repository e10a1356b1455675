"""Servers that fail in every way that servers do; the error must name what is wrong and where to look."""

import asyncio
import json
import socket
import time
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import pytest
from pydantic import SecretStr
from server import (
    Behaviour,
    Body,
    Exchange,
    FakeServer,
    breaks_off,
    chunk,
    cut_short,
    hangs,
    said,
    send,
    send_json,
    serving,
)

from specreason.config import EngineSettings, Settings
from specreason.engines.connect import connect
from specreason.engines.http import HttpEngine
from specreason.engines.opening import open_decoder
from specreason.engines.protocol import Prompt, Sampling
from specreason.engines.transport import Transport
from specreason.errors import (
    ConfigError,
    ContextOverflow,
    EngineError,
    EngineRejected,
    EngineTimeout,
    EngineUnavailable,
)

HTML = "<!doctype html><html><body>It works!</body></html>"
KEY = "sk-do-not-tell-4711"
HEADER = "tenant-do-not-tell-0815"


@pytest.fixture(params=["generic", "vllm"])
async def fake(request: pytest.FixtureRequest) -> AsyncGenerator[FakeServer]:
    async with serving(FakeServer(owner="vllm" if request.param == "vllm" else "someone")) as server:
        yield server


def settings(fake: FakeServer, **more: Any) -> EngineSettings:
    values: dict[str, Any] = {"url": fake.url, "chat_template": "chatml", "silence_timeout": 5.0}
    return EngineSettings.model_validate(values | more)


async def connected(fake: FakeServer, **more: Any) -> HttpEngine:
    engine = await connect("base", settings(fake, **more))
    fake.completions.clear()
    fake.asked.clear()
    return engine


async def ask(engine: HttpEngine) -> str:
    prompt = Prompt().plus(await engine.tokenize("Two and two is"))
    call = engine.generate(prompt, sampling=Sampling(), max_tokens=8)
    return "".join([piece.text async for piece in call])


async def failure(engine: HttpEngine) -> EngineError:
    """What a call fails with."""
    with pytest.raises(EngineError) as caught:
        await ask(engine)
    assert str(caught.value).startswith("base: ")
    return caught.value


async def test_a_healthy_server_is_recognised_and_answers(fake: FakeServer) -> None:
    engine = await connected(fake)
    assert engine.dialect == ("vllm" if fake.owner == "vllm" else "generic")
    assert (engine.model, engine.context_length) == (
        "fake-model",
        512 if fake.owner == "vllm" else 4096,
    )
    assert engine.capabilities.token_prompts == (fake.owner == "vllm")
    assert await ask(engine) == "one two"
    await engine.aclose()


# ---------------------------------------------------------------- servers that speculate


def scoring(exchange_ok: Callable[[Body], bool], *logprobs: float) -> Behaviour:
    """Tells these log-probabilities of the digits from 0 on; an error 500 where `exchange_ok` says no."""

    async def behave(exchange: Exchange) -> None:
        if not exchange_ok(exchange.body):
            await send_json({"error": {"message": "EngineCore died"}}, status=500)(exchange)
            return
        await exchange.head(200, "text/event-stream")
        top = {f"token_id:{ord(str(digit))}": logprob for digit, logprob in enumerate(logprobs)}
        choice = {"text": "1", "token_ids": [ord("1")], "logprobs": {"top_logprobs": [top]}}
        await exchange.event({"choices": [choice]})
        await exchange.event({"choices": [{"text": "", "finish_reason": "length"}]})
        usage = {"prompt_tokens": len(exchange.body["prompt"]), "completion_tokens": 1}
        await exchange.event({"choices": [], "usage": usage})
        await exchange.raw("data: [DONE]\n\n")

    return behave


async def test_zeros_in_place_of_log_probabilities_are_not_believed() -> None:
    zeros = FakeServer(owner="vllm", always=scoring(lambda _: True, 0.0, 0.0, 0.0))
    async with serving(zeros) as fake:
        engine = await connected(fake)
        assert engine.capabilities.first_token_logprobs == 0
        await engine.aclose()


async def test_a_server_that_fails_at_given_tokens_is_asked_for_the_likeliest() -> None:
    picky = FakeServer(
        owner="vllm", always=scoring(lambda body: not body.get("logprob_token_ids"), -3.0, -0.1, -4.0)
    )
    async with serving(picky) as fake:
        engine = await connected(fake, attempts=1)
        assert (engine.capabilities.candidates, engine.capabilities.first_token_logprobs) == (False, 3)
        prompt = Prompt().plus(await engine.tokenize("Good?"))
        told = await engine.next_token_logprobs(prompt, candidates=("0", "1", "2"))
        assert dict(told.logprobs) == {"1": -0.1, "0": -3.0, "2": -4.0}
        await engine.aclose()


async def test_the_decode_url_is_named_where_it_does_not_answer() -> None:
    plain, decode = (f"http://127.0.0.1:{_closed_port()}/v1" for _ in range(2))
    settings = EngineSettings(url=plain, decode_url=decode, attempts=1)
    with pytest.raises(EngineUnavailable, match=r"'base\.decode_url'"):
        await open_decoder(Settings(base=settings, small=settings.model_copy(update={"decode_url": None})))


# ---------------------------------------------------------------- while connecting


def _closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


async def test_nothing_listens() -> None:
    url = f"http://127.0.0.1:{_closed_port()}/v1"
    with pytest.raises(EngineUnavailable, match=r"'small\.url'") as caught:
        await connect("small", EngineSettings(url=url, attempts=2))
    assert url.removesuffix("/v1") in str(caught.value)
    assert caught.value.exit_code == 1
    assert caught.value.engine == "small"


async def test_not_a_port() -> None:
    with pytest.raises(EngineRejected, match=r"'base\.url'"):
        await connect("base", EngineSettings(url="http://127.0.0.1:99999", attempts=1))


async def test_a_password_in_the_url_is_not_told() -> None:
    url = f"http://me:{KEY}@127.0.0.1:{_closed_port()}/v1"
    with pytest.raises(EngineUnavailable) as caught:
        await connect("base", EngineSettings(url=url, attempts=1))
    assert KEY not in told(caught.value)


@pytest.mark.parametrize(
    "listing",
    [
        pytest.param(send(HTML), id="html"),
        pytest.param(send(HTML, kind="application/json"), id="html called json"),
        pytest.param(send('{"data": [', kind="application/json"), id="truncated json"),
        pytest.param(send_json("a text"), id="json text"),
        pytest.param(send_json({"detail": "Not Found"}, status=404), id="404"),
        pytest.param(send("", status=302, headers={"Location": "/login"}), id="redirect"),
    ],
)
async def test_what_answers_is_no_completions_api(fake: FakeServer, listing: Behaviour) -> None:
    fake.listing = listing
    with pytest.raises(EngineRejected) as caught:
        await connected(fake)
    assert fake.url.removesuffix("/v1") in str(caught.value)


@pytest.mark.parametrize("dialect", ["auto", "generic"])
@pytest.mark.parametrize(
    "listing", [{"data": None}, {"data": [None]}, {"data": {"id": "x"}}, [], [7], {"models": []}, {"data": 1}]
)
async def test_a_listing_of_another_shape(fake: FakeServer, dialect: str, listing: Any) -> None:
    fake.listing = send_json(listing)
    with pytest.raises((EngineRejected, ConfigError), match=r"'base\.(url|model)'"):
        await connected(fake, dialect=dialect)


async def test_html_names_the_url_setting_and_shows_what_came(fake: FakeServer) -> None:
    fake.listing = send(HTML)
    with pytest.raises(EngineRejected, match=r"<!doctype html>.*'base\.url'"):
        await connected(fake)


async def test_unknown_model_lists_what_is_served(fake: FakeServer) -> None:
    fake.models = ["first-model", "second-model"]
    with pytest.raises(EngineRejected, match=r"'third'.*'base\.model'.*first-model, second-model"):
        await connected(fake, model="third")


async def test_several_models_and_none_chosen(fake: FakeServer) -> None:
    fake.models = ["first-model", "second-model"]
    with pytest.raises(ConfigError, match=r"'base\.model'.*first-model, second-model"):
        await connected(fake)


async def test_a_server_that_lists_no_models_needs_model_and_dialect(fake: FakeServer) -> None:
    fake.listing = send_json({"detail": "Not Found"}, status=404)
    engine = await connected(fake, model="any", dialect="generic")
    assert await ask(engine) == "one two"
    await engine.aclose()


async def test_a_key_is_missing_while_connecting(fake: FakeServer) -> None:
    fake.listing = send_json({"error": {"message": "Unauthorized"}}, status=401)
    with pytest.raises(EngineRejected, match=r"401: check 'base\.api_key' \(Unauthorized\)"):
        await connected(fake)


async def test_hang_while_connecting(fake: FakeServer) -> None:
    fake.listing = hangs()
    with pytest.raises(EngineTimeout, match=r"'base\.silence_timeout'"):
        await connected(fake, silence_timeout=0.2)


# ---------------------------------------------------------------- retried until the first token


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            send_json({"error": "busy"}, status=429, headers={"Retry-After": "0"}), id="429 at once"
        ),
        pytest.param(send("no", status=429, headers={"Retry-After": "Wed, 21 Oct 2065"}), id="429 date"),
        pytest.param(send(HTML, status=500), id="500"),
        pytest.param(send("", status=503), id="503"),
        pytest.param(breaks_off(), id="broke off before a token"),
        pytest.param(cut_short(), id="cut before a token"),
        pytest.param(
            breaks_off(then='data: {"error": {"message": "worker died", "code": 500}}\n\n'), id="error first"
        ),
    ],
)
async def test_a_passing_failure_is_retried(fake: FakeServer, fault: Behaviour) -> None:
    engine = await connected(fake)
    fake.next = [fault]
    assert await ask(engine) == "one two"
    assert len(fake.completions) == 2
    await engine.aclose()


async def test_retry_after_is_waited_for(fake: FakeServer) -> None:
    engine = await connected(fake)
    fake.next = [send("slow down", status=429, headers={"Retry-After": "1"})]
    begun = time.perf_counter()
    assert await ask(engine) == "one two"
    assert 0.95 <= time.perf_counter() - begun < 3
    await engine.aclose()


@pytest.mark.parametrize("status", [429, 500])
async def test_a_lasting_failure_is_told_after_all_attempts(fake: FakeServer, status: int) -> None:
    engine = await connected(fake, attempts=2)
    fake.always = send_json(
        {"error": {"message": "come back later"}}, status=status, headers={"Retry-After": "0"}
    )
    error = await failure(engine)
    assert type(error) is EngineUnavailable
    assert f"{status}: come back later" in str(error)
    assert len(fake.completions) == 2
    await engine.aclose()


@pytest.mark.parametrize("texts", [(), ("one",)])
async def test_silence_is_not_retried(fake: FakeServer, texts: tuple[str, ...]) -> None:
    engine = await connected(fake, silence_timeout=0.3)
    fake.always = hangs(*texts)
    error = await failure(engine)
    assert type(error) is EngineTimeout
    assert "0.3 s (setting 'base.silence_timeout')" in str(error)
    assert len(fake.completions) == 1
    await engine.aclose()


# ---------------------------------------------------------------- not retried

BROKEN_STREAMS = [
    pytest.param(breaks_off("one", then='data: {"choi\n\n'), EngineRejected, id="truncated JSON event"),
    pytest.param(breaks_off("one", then='data: {"choi'), EngineUnavailable, id="cut in an event"),
    pytest.param(breaks_off("one", then="data: [1]\n\n"), EngineRejected, id="JSON of another shape"),
    pytest.param(breaks_off("one"), EngineUnavailable, id="broke off"),
    pytest.param(cut_short("one"), EngineUnavailable, id="connection broke"),
    pytest.param(
        breaks_off("one", then='data: {"error": {"message": "worker died", "code": 500}}\n\n'),
        EngineUnavailable,
        id="error with a number",
    ),
    pytest.param(
        breaks_off("one", then='data: {"error": {"message": "worker died", "code": "server_error"}}\n\n'),
        EngineUnavailable,
        id="error with a word",
    ),
    pytest.param(
        breaks_off("one", then='data: {"error": "worker died"}\n\n'), EngineUnavailable, id="error as text"
    ),
    pytest.param(
        breaks_off("one", then='data: {"error": {"message": "bad", "code": 400}}\n\n'),
        EngineRejected,
        id="error that is ours",
    ),
]


@pytest.mark.parametrize(("fault", "kind"), BROKEN_STREAMS)
async def test_a_stream_that_breaks_later_is_an_error(
    fake: FakeServer, fault: Behaviour, kind: type[EngineError]
) -> None:
    engine = await connected(fake)
    fake.always = fault
    error = await failure(engine)
    assert type(error) is kind
    assert len(fake.completions) == 1
    await engine.aclose()


async def test_what_came_before_the_break_is_kept(fake: FakeServer) -> None:
    engine = await connected(fake)
    fake.always = breaks_off("one", then='data: {"error": {"message": "worker died", "code": 500}}\n\n')
    call = engine.generate(Prompt().plus(await engine.tokenize("Two")), sampling=Sampling(), max_tokens=8)
    assert (await anext(call)).text == "one"
    with pytest.raises(EngineUnavailable, match="worker died"):
        await anext(call)
    assert call.usage.generated_tokens > 0
    assert call.finish is None
    await call.aclose()
    await engine.aclose()


REFUSALS = [
    pytest.param(
        send_json({"error": {"message": "no"}}, status=401), EngineRejected, "base.api_key", id="401"
    ),
    pytest.param(
        send_json({"error": {"message": "no"}}, status=403), EngineRejected, "base.api_key", id="403"
    ),
    pytest.param(send_json({"error": {"message": "why"}}, status=400), EngineRejected, "400: why", id="400"),
    pytest.param(send(HTML), EngineRejected, "base.url", id="HTML"),
    pytest.param(send_json(chunk("a", "stop")), EngineRejected, "base.url", id="not streamed"),
    pytest.param(
        send_json({"message": "maximum context length is 512 tokens"}, status=400),
        ContextOverflow,
        "512",
        id="too long",
    ),
]


@pytest.mark.parametrize(("reply", "kind", "names"), REFUSALS)
async def test_a_refusal_is_not_retried(
    fake: FakeServer, reply: Behaviour, kind: type[EngineError], names: str
) -> None:
    engine = await connected(fake)
    fake.always = reply
    error = await failure(engine)
    assert type(error) is kind
    assert names in str(error)
    assert len(fake.completions) == 1
    await engine.aclose()


# ---------------------------------------------------------------- leaving, and secrets


async def test_closing_a_call_closes_the_connection(fake: FakeServer) -> None:
    engine = await connected(fake)
    fake.always = hangs("one")
    prompt = Prompt().plus(await engine.tokenize("Two"))
    call = engine.generate(prompt, sampling=Sampling(), max_tokens=8)
    assert (await anext(call)).text == "one"
    assert not fake.client_left.is_set()
    await call.aclose()
    await asyncio.wait_for(fake.client_left.wait(), 1)
    assert call.finish == "cancelled"
    await engine.aclose()


@pytest.mark.parametrize("texts", [(), ("one",)])
async def test_cancelling_the_task_closes_the_connection(fake: FakeServer, texts: tuple[str, ...]) -> None:
    engine = await connected(fake)
    fake.always = hangs(*texts)
    task = asyncio.create_task(ask(engine))
    await asyncio.wait_for(fake.asked.wait(), 5)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(fake.client_left.wait(), 1)
    await engine.aclose()


def told(error: BaseException) -> str:
    """All that a user or a log could see of an error."""
    return "".join([str(error), repr(error), *traceback.format_exception(error)])


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("long_before", [0, 60, 290])
async def test_a_key_that_the_server_repeats_is_not_told(
    fake: FakeServer, status: int, long_before: int
) -> None:
    secret = EngineSettings(
        url=fake.url,
        api_key=SecretStr(KEY),
        headers={"X-Tenant": SecretStr(HEADER)},
        attempts=1,
        chat_template="chatml",
    )
    engine = await connect("base", secret)
    assert fake.keys == {f"Bearer {KEY}"}
    said_back = "x" * long_before + f" Incorrect API key provided: {KEY} for {HEADER}"
    fake.always = send_json({"error": {"message": said_back}}, status=status)
    error = await failure(engine)
    for part in (KEY, HEADER, "do-not-tell"):
        assert part not in told(error)
        assert part not in repr(engine) + repr(secret) + str(secret)
    await engine.aclose()


async def test_a_key_in_an_error_inside_the_stream_is_not_told(fake: FakeServer) -> None:
    engine = await connected(fake, api_key=KEY)
    fake.always = breaks_off("one", then=f'data: {{"error": "{KEY}"}}\n\n')
    assert KEY not in told(await failure(engine))
    fake.always = said("fine")
    assert await ask(engine) == "fine"
    await engine.aclose()


async def test_a_connection_whose_stream_has_ended_is_used_again() -> None:
    """A new one for every verdict would cost a round trip each, and two more where it is encrypted."""
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
                events = f"data: {json.dumps(chunk('9', 'length'))}\n\n", "data: [DONE]\n\n"
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
                writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
                for part in (*events, ""):
                    writer.write(f"{len(part):x}\r\n{part}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = Transport("base", EngineSettings(url=f"http://127.0.0.1:{port}"))
    for _ in range(3):
        chunks = [told async for told in transport.stream({"prompt": "a"}, {})]
        assert len(chunks) == 2  # the last says that it is all
    await transport.aclose()
    server.close()
    assert len(connections) == 1
