"""Servers that answer oddly, and addresses as people paste them: read, or one clear error at once."""

import asyncio
import gzip
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from server import (
    Behaviour,
    Exchange,
    FakeServer,
    breaks_off,
    chunk,
    refusing,
    said,
    send,
    send_json,
    serving,
)

from specreason.config import EngineSettings
from specreason.engines.chat_format import thinks
from specreason.engines.connect import connect
from specreason.engines.http import HttpEngine
from specreason.engines.probing import probe_cancellation
from specreason.engines.protocol import Prompt, Sampling
from specreason.errors import ConfigError, ContextOverflow, EngineError, EngineRejected, EngineUnavailable

TOO_LONG = "This model's maximum context length is 512 tokens, you asked for 700."


def settings(fake: FakeServer, **more: Any) -> EngineSettings:
    known: dict[str, Any] = {"url": fake.url, "chat_template": "chatml", "silence_timeout": 5.0}
    return EngineSettings.model_validate(known | more)


async def connected(fake: FakeServer, **more: Any) -> HttpEngine:
    engine = await connect("base", settings(fake, **more))
    fake.completions.clear()
    return engine


async def ask(engine: HttpEngine, **sampling: Any) -> str:
    prompt = Prompt().plus(await engine.tokenize("Two and two is"))
    call = engine.generate(prompt, sampling=Sampling(**sampling), max_tokens=8)
    return "".join([piece.text async for piece in call])


def streaming(raw: str | bytes, kind: str = "text/event-stream", **headers: str) -> Behaviour:
    """A reply of these very bytes."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(200, kind, headers)
        await exchange.raw(raw)

    return behave


def event(body: Mapping[str, Any], end: str = "\n\n") -> str:
    return f"data: {json.dumps(body)}{end}"


def whole(end: str = "\n\n", before: str = "") -> str:
    """The stream of "one two", each event ended so, with this before it."""
    parts = [chunk("one"), chunk(" two"), chunk("", "stop")]
    return "".join(before + event(part, end) for part in parts) + before + f"data: [DONE]{end}"


# ---------------------------------------------------------------- streams that can be read

READABLE = {
    "carriage returns and line feeds": streaming(whole("\r\n\r\n")),
    "carriage returns": streaming(whole("\r\r")),
    "a byte order mark": streaming(b"\xef\xbb\xbf" + whole().encode()),
    "white space first": streaming("\n \n" + whole()),
    "no space after the colon": streaming(whole().replace("data: ", "data:")),
    "no blank lines": streaming(whole("\n")),
    "the last blank line is missing": streaming(whole().removesuffix("\n")),
    "comments": streaming(whole(before=": still here\n\n")),
    "empty data": streaming(whole(before="data: \n\n")),
    "a bare field": streaming(whole(before="data\n\n")),
    "events without data": streaming(whole(before="event: ping\n\nid: 7\n\nretry: 1000\n\n")),
    "events of its own": streaming(whole(before="event: ping\ndata: alive\n\n")),
    "null errors": streaming(
        event({**chunk("one"), "error": None}) + event({**chunk(" two", "stop"), "error": {}})
    ),
    "a type in other case": streaming(whole(), "Text/Event-Stream; Charset=UTF-8"),
    "another character set": streaming(whole(), "text/event-stream; charset=latin-1"),
    "a JSON type": streaming(whole(), "application/json"),
    "a text type": streaming(": hello\n\n" + whole(), "text/plain"),
    "compressed": streaming(gzip.compress(whole().encode()), **{"Content-Encoding": "gzip"}),
    "no end mark": streaming(whole().removesuffix("data: [DONE]\n\n")),
    "no finish reason": streaming(whole().replace('"stop"', "null")),
    "null choices": streaming(event({"choices": None}) + event({"choices": []}) + whole()),
    "a text of null": streaming(event({"choices": [{"text": None, "token_ids": None}]}) + whole()),
}


@pytest.mark.parametrize("owner", ["someone", "vllm", "sglang"])
@pytest.mark.parametrize("name", READABLE)
async def test_an_odd_stream_is_read(name: str, owner: str) -> None:
    async with serving(FakeServer(owner=owner)) as fake:
        engine = await connected(fake)
        fake.always = READABLE[name]
        assert await ask(engine) == "one two"
        assert len(fake.completions) == 1
        await engine.aclose()


@pytest.mark.parametrize(
    ("parts", "read"),
    [
        (("so \ud83d", "\ude00 good"), "so \U0001f600 good"),
        (("so \ud83d", " bad"), "so \ufffd bad"),
        (("so \ude00 bad",), "so \ufffd bad"),
        (("so \ud83d",), "so \ufffd"),
    ],
)
async def test_half_characters_are_put_together(parts: tuple[str, ...], read: str) -> None:
    stream = "".join(event({"choices": [{"text": part}]}) for part in parts)
    async with serving(FakeServer(always=streaming(stream + event(chunk("", "stop"))))) as fake:
        engine = await connected(fake)
        assert await ask(engine) == read
        await engine.aclose()


async def test_an_end_that_never_comes_is_not_waited_for() -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.head(200, "text/event-stream")
        await exchange.raw(event(chunk("four", "stop")))
        await exchange.until_client_leaves()

    async with serving(FakeServer(always=behave)) as fake:
        engine = await connected(fake, silence_timeout=60.0)
        async with asyncio.timeout(40):  # a wait in vain makes the next one shorter, or this would take 50 s
            for _ in range(100):
                assert await ask(engine) == "four"
        await asyncio.wait_for(fake.client_left.wait(), 5)
        await engine.aclose()


# ---------------------------------------------------------------- errors inside a stream

ERRORS: dict[str, tuple[str, type[EngineError], str]] = {
    "a word": (event({"error": {"message": "no", "code": "context_length_exceeded"}}), ContextOverflow, "no"),
    "null": (event({"error": {"message": TOO_LONG, "code": None}}), ContextOverflow, "512"),
    "no code": (event({"error": {"message": TOO_LONG}}), ContextOverflow, "512"),
    "500": (event({"error": {"message": TOO_LONG, "code": 500}}), ContextOverflow, "512"),
    "a text": (event({"error": TOO_LONG}), ContextOverflow, "512"),
    "an object": (event({"object": "error", "message": TOO_LONG, "code": 400}), ContextOverflow, "512"),
    "detail": (event({"detail": {"error": {"message": TOO_LONG}}}), ContextOverflow, "512"),
    "an event": ("event: error\n" + event({"message": TOO_LONG}), ContextOverflow, "512"),
    "an event of text": (f"event: error\ndata: {TOO_LONG}\n\n", ContextOverflow, "512"),
    "a body of a bare field": (f'error: {{"message": "{TOO_LONG}"}}\n\n', ContextOverflow, "512"),
    "a body": (json.dumps({"error": {"message": TOO_LONG}}), ContextOverflow, "512"),
    "a body of another": (json.dumps({"detail": "no model", "status": 404}), EngineRejected, "no model"),
    "a number as text": (event({"error": {"message": "bad", "code": "400"}}), EngineRejected, "400: bad"),
    "a type": (event({"error": {"message": "bad", "type": "BadRequestError"}}), EngineRejected, "400: bad"),
    "FastAPI's list": (
        event({"detail": [{"loc": ["body", "stop"], "msg": "too many", "type": "value_error"}], "code": 422}),
        EngineRejected,
        "422: body.stop: too many",
    ),
    "it may pass": (event({"error": {"message": "died", "code": "server_error"}}), EngineUnavailable, "died"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
@pytest.mark.parametrize(
    ("name", "begun"),
    [(name, "") for name in ERRORS] + [(name, event(chunk("one"))) for name in ERRORS if "body" not in name],
)
async def test_an_error_inside_a_stream_is_told_once(name: str, begun: str, kind: str) -> None:
    raw, expected, message = ERRORS[name]
    async with serving(FakeServer()) as fake:
        engine = await connected(fake, attempts=2)
        fake.always = streaming(begun + raw, kind)
        with pytest.raises(EngineError, match=message) as caught:
            await ask(engine)
        assert type(caught.value) is expected
        passing = expected is EngineUnavailable and not begun
        assert len(fake.completions) == (2 if passing else 1)
        await engine.aclose()


@pytest.mark.parametrize("status", [200, 400, 413, 422, 429, 500, 502, 503])
async def test_a_prompt_that_is_too_long_is_no_passing_failure(status: int) -> None:
    async with serving(FakeServer()) as fake:
        engine = await connected(fake)
        fake.always = send_json({"error": {"message": TOO_LONG, "type": "server_error"}}, status=status)
        with pytest.raises(ContextOverflow, match="does not fit: This model's maximum"):
            await ask(engine)
        assert len(fake.completions) == 1
        await engine.aclose()


async def test_a_gateways_page_is_one_short_sentence() -> None:
    page = "<html><head><title>502 Bad Gateway</title></head><body>" + "<p>nginx</p>" * 50 + "</body></html>"
    async with serving(FakeServer()) as fake:
        engine = await connected(fake, attempts=1)
        fake.always = send(page, status=502)
        with pytest.raises(EngineUnavailable, match=r"answered 502: a web page, '502 Bad Gateway'$"):
            await ask(engine)
        await engine.aclose()


# ---------------------------------------------------------------- what servers refuse


@pytest.mark.parametrize("owner", ["someone", "vllm"])
@pytest.mark.parametrize("message", ["logprobs are not supported", "unexpected field"])
async def test_a_server_that_refuses_log_probabilities_can_write(owner: str, message: str) -> None:
    async with serving(FakeServer(owner=owner, always=refusing("logprobs", message))) as fake:
        engine = await connected(fake)
        assert engine.capabilities.first_token_logprobs == 0
        # What a refusal does not name is not given up.
        assert engine.capabilities.token_prompts == (owner == "vllm" and "logprobs" in message)
        assert await ask(engine) == "one two"
        await engine.aclose()


async def test_a_server_that_tells_few_log_probabilities_is_asked_for_few() -> None:
    async def behave(exchange: Exchange) -> None:
        asked = int(exchange.body.get("logprobs", 0))
        if asked > 5:
            await send_json({"error": {"message": "at most 5 logprobs", "code": 400}}, status=400)(exchange)
            return
        top = {f"token_id:{ord('0') + n}": -1.0 - n for n in range(asked)}
        await exchange.head(200, "text/event-stream")
        choice = {
            "text": "0",
            "token_ids": [48],
            "logprobs": {"top_logprobs": [top]},
            "finish_reason": "length",
        }
        await exchange.raw(event({"choices": [choice]}) + "data: [DONE]\n\n")

    async with serving(FakeServer(owner="vllm", always=behave)) as fake:
        engine = await connected(fake)
        assert engine.capabilities.first_token_logprobs == 5
        await engine.aclose()


async def test_a_server_without_stream_options_is_not_asked_for_usage() -> None:
    picky = refusing("stream_options", "extra fields not permitted: stream_options")
    async with serving(FakeServer(always=picky)) as fake:
        engine = await connected(fake)
        assert await ask(engine) == "one two"
        assert "stream_options" not in fake.completions[-1]
        await engine.aclose()


async def test_a_top_p_of_one_is_not_sent() -> None:
    async with serving(FakeServer()) as fake:
        engine = await connected(fake)
        await ask(engine, top_p=1.0)
        assert "top_p" not in fake.completions[-1]
        await ask(engine, top_p=0.95)
        assert fake.completions[-1]["top_p"] == 0.95
        await engine.aclose()


# ---------------------------------------------------------------- side routes that are not passed on


@pytest.mark.parametrize("owner", ["vllm", "sglang", "llamacpp"])
@pytest.mark.parametrize(
    "refusal",
    [
        send_json({"detail": "Not Found"}, status=404),
        send_json({"message": "Missing Authentication Token"}, status=403),
        send("<html>Welcome</html>"),
    ],
)
async def test_a_gateway_that_passes_on_v1_only_needs_a_template(owner: str, refusal: Behaviour) -> None:
    paths = ("/tokenize", "/detokenize", "/props", "/apply-template", "/get_model_info", "/model_info")
    async with serving(FakeServer(owner=owner, others=dict.fromkeys(paths, refusal))) as fake:
        engine = await connected(fake, chat_template="auto")
        with pytest.raises(ConfigError, match=r"'base\.chat_template'"):
            await thinks(engine, settings(fake))
        assert not engine.capabilities.own_template
        await engine.aclose()
        engine = await connected(fake)
        assert await ask(engine) == "one two"
        await engine.aclose()


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    return tmp_path


async def test_either_name_of_sglangs_model_path_is_asked(model_folder: Path) -> None:
    for name in ("/model_info", "/get_model_info"):
        told = send_json({"model_path": str(model_folder)})
        async with serving(FakeServer(owner="sglang", others={name: told})) as fake:
            engine = await connected(fake, chat_template="auto")
            assert await engine.apply_template([{"role": "user", "content": "Hello"}]) == "Hello!"
            await engine.aclose()


async def test_a_router_of_llama_servers_is_told_the_model() -> None:
    asked: list[str] = []

    def naming(reply: Any) -> Behaviour:
        async def behave(exchange: Exchange) -> None:
            named = exchange.body.get("model") or exchange.path.partition("?model=")[2]
            asked.append(exchange.path.partition("?")[0])
            missing = {"error": {"message": "model name is missing", "code": 400}}
            await (send_json(reply) if named == "one" else send_json(missing, status=400))(exchange)

        return behave

    others = {
        "/props": naming({"role": "router", "default_generation_settings": {"n_ctx": 0}, "bos_token": "<s>"}),
        "/tokenize": naming({"tokens": [1, 2]}),
        "/apply-template": naming({"prompt": "<s>Hello"}),
    }
    async with serving(FakeServer(owner="llamacpp", models=["one", "two"], others=others)) as fake:
        engine = await connected(fake, model="one", chat_template="auto")
        assert engine.capabilities.own_template
        assert engine.capabilities.tokenize
        assert await engine.apply_template([{"role": "user", "content": "Hello"}]) == "<s>Hello"
        assert {"/props", "/tokenize", "/apply-template"} <= set(asked)
        await engine.aclose()


async def test_a_server_that_counts_no_requests_says_nothing_of_leaving() -> None:
    gone = {"/metrics": send_json({"detail": "Not Found"}, status=404)}
    async with serving(FakeServer(owner="vllm", others=gone)) as fake:
        engine = await connected(fake)
        assert await probe_cancellation(engine) is None
        await engine.aclose()


# ---------------------------------------------------------------- listings

LISTINGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "models in place of data": ({"models": [{"id": "m"}]}, {}),
    "names": ({"models": [{"name": "m", "model": "m"}]}, {}),
    "a list": ([{"id": "m"}], {}),
    "texts": ({"data": ["m"]}, {}),
    "one twice": ({"data": [{"id": "m"}, {"id": "m"}]}, {}),
    "one without a name": (
        {"data": [{"id": None}, {"id": "m", "owned_by": None, "max_model_len": "512"}]},
        {},
    ),
    "an alias": ({"data": [{"id": "x", "aliases": ["m"]}, {"id": "y", "aliases": None}]}, {"model": "m"}),
    "anything": ({"data": [{"id": "*"}]}, {"model": "m"}),
    "a pattern": ({"data": [{"id": "openai/*"}, {"id": "o1"}]}, {"model": "openai/m"}),
    "another, but the dialect is set": ({"data": [{"id": "x"}]}, {"model": "m", "dialect": "generic"}),
}


@pytest.mark.parametrize("name", LISTINGS)
async def test_an_odd_listing_is_read(name: str) -> None:
    listing, more = LISTINGS[name]
    async with serving(FakeServer(listing=send_json(listing))) as fake:
        engine = await connected(fake, **more)
        assert await ask(engine) == "one two"
        assert fake.completions[-1]["model"] in {"m", "x", "openai/m"}
        await engine.aclose()


@pytest.mark.parametrize("kind", ["text/plain", "text/html; charset=utf-8", "Application/JSON"])
async def test_a_listing_is_read_whatever_its_type(kind: str) -> None:
    body = "\ufeff" + json.dumps({"data": [{"id": "m"}]})
    async with serving(FakeServer(listing=send(body, kind=kind))) as fake:
        assert (await connected(fake)).model == "m"


async def test_a_pattern_is_no_model() -> None:
    async with serving(FakeServer(models=["*"])) as fake:
        with pytest.raises(ConfigError, match=r"'base\.model'"):
            await connected(fake)
        fake.models = ["openai/*"]
        with pytest.raises(EngineRejected, match=r"'base\.dialect'"):
            await connected(fake, model="mistral/x")


# ---------------------------------------------------------------- where the server is


@pytest.mark.parametrize(
    "path", ["", "/", "/v1/", "/v1/completions", "/v1/chat/completions", "/v1/models", "/v1."]
)
@pytest.mark.parametrize("around", ["{}", " {}\n"])
async def test_a_pasted_address_is_taken(path: str, around: str) -> None:
    async with serving(FakeServer()) as fake:
        engine = await connected(fake, url=around.format(fake.url.removesuffix("/v1") + path))
        assert await ask(engine) == "one two"
        await engine.aclose()


async def test_a_query_goes_with_every_request() -> None:
    paths: list[str] = []

    def noting(behaviour: Behaviour) -> Behaviour:
        async def behave(exchange: Exchange) -> None:
            paths.append(exchange.path)
            await behaviour(exchange)

        return behave

    others = {
        "/v1/models": noting(send_json({"data": [{"id": "m"}]})),
        "/v1/completions": noting(said("one", " two")),
    }
    async with serving(FakeServer(others=others)) as fake:
        engine = await connected(fake, url=fake.url + "/?api-version=1&key=do-not-tell-4711")
        assert await ask(engine) == "one two"
        assert all(path.endswith("?api-version=1&key=do-not-tell-4711") for path in paths)
        await engine.aclose()


def moved(to: str, status: int = 307) -> Behaviour:
    return send("", status=status, headers={"Location": to})


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_on_the_same_host_is_followed(status: int) -> None:
    others = {
        "/v1/models": moved("/v1/models/", status),
        "/v1/models/": send_json({"data": [{"id": "m"}]}),
        "/v1/completions": moved("/v1/completions/", status),
        "/v1/completions/": said("one", " two"),
    }
    async with serving(FakeServer(others=others)) as fake:
        engine = await connected(fake, api_key="do-not-tell-4711")
        assert await ask(engine) == "one two"
        await engine.aclose()


async def test_secrets_do_not_follow_a_redirect_to_another_host() -> None:
    async with serving(FakeServer()) as other, serving(FakeServer()) as fake:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        fake.listing = moved(f"{elsewhere}/models?key=do-not-tell-4711")
        with pytest.raises(EngineRejected, match=rf"redirects to {elsewhere}.*'base\.url'") as caught:
            await connected(fake, headers={"X-Key": "do-not-tell-0815"})
        assert "do-not-tell" not in str(caught.value)
        assert other.headers == []


async def test_a_redirect_in_a_circle_is_an_error() -> None:
    async with serving(FakeServer(listing=moved("/v1/models"))) as fake:
        with pytest.raises(EngineRejected, match="redirects to /v1/models"):
            await connected(fake)


# ---------------------------------------------------------------- certificates


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Its types name a package that is not installed.
    authority.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


@pytest.fixture(params=[None, "no certificate"], ids=["missing", "of something else"])
def useless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / "useless.pem"
    if request.param is not None:
        file.write_text(request.param)
    return file


async def test_a_private_certificate_is_trusted_where_a_setting_says_so(
    tls: ssl.SSLContext, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(FakeServer(), tls) as fake:
        with pytest.raises(EngineRejected, match=r"certificate of https://127.*not trusted.*'base\.ca_file'"):
            await connected(fake)
        engine = await connected(fake, ca_file=str(trusted))
        assert await ask(engine) == "one two"
        await engine.aclose()
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        await (await connected(fake)).aclose()


async def test_a_file_without_certificates_is_named(useless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(FakeServer()) as fake:
        with pytest.raises(ConfigError, match=rf"'base\.ca_file' is {useless}"):
            await connected(fake, ca_file=str(useless))
        monkeypatch.setenv("SSL_CERT_FILE", str(useless))
        with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
            await connected(fake)


async def test_http_and_https_mixed_up_is_told(tls: ssl.SSLContext) -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(EngineRejected, match=r"does not accept a TLS connection.*'base\.url' with http://"):
        await connect("base", EngineSettings(url=f"https://127.0.0.1:{port}"))
    server.close()
    async with serving(FakeServer(), tls) as encrypted:
        with pytest.raises(EngineUnavailable, match=r"if it expects https://, correct 'base\.url'"):
            await connected(encrypted, url=encrypted.url.replace("https:", "http:"), attempts=1)


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize("secret", ["do-not-tell-1", "do-not-tell-2", "do-not-tell-3", "do-not-tell-4"])
async def test_no_secret_of_the_settings_is_told(secret: str) -> None:
    async with serving(FakeServer()) as fake:
        more: dict[str, Any] = {
            "url": fake.url.replace("//", "//me:do-not-tell-1@") + "?key=do-not-tell-2",
            "extra_body": {"account": {"tokens": ["do-not-tell-3"]}},
            "template_kwargs": {"key": "do-not-tell-4"},
        }
        engine = await connected(fake, attempts=1, **more)
        for behaviour in (
            send_json({"detail": [{"msg": f"odd {secret}", "input": secret}]}, status=422),
            send(f"<title>{secret}</title>", status=500),
            send(secret, kind="text/plain"),
            breaks_off("one", then=f'data: {{"error": "{secret}"}}\n\n'),
        ):
            fake.always = behaviour
            with pytest.raises(EngineError) as caught:
                await ask(engine)
            assert "do-not-tell" not in str(caught.value)
        shown = settings(fake, **more)
        assert "do-not-tell" not in repr(shown) + str(shown) + shown.model_dump_json()
        await engine.aclose()
