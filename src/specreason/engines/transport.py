"""HTTP to one model server: one client, one place for retries, one place where failures get their names."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, cast

import httpx2
import stamina

from specreason.config import EngineSettings
from specreason.engines.dialects import Route
from specreason.errors import (
    ContextOverflow,
    EngineError,
    EngineRejected,
    EngineTimeout,
    EngineUnavailable,
)

_RETRIED_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_LAST_PORT = 65535
_QUOTED = 300  # characters of a server's own message that an error repeats
_LINGER = 0.02  # seconds from a reply's last event to its end
_SECRET = 6  # characters from which on a header's value is kept out of errors
_USER_AND_PASSWORD = re.compile(r"(?<=://)[^/@]*@")
_OVERFLOW_WORDS = (
    "exceed_context_size",
    "maximum context length",
    "exceeds the available context",
    "context length",
    "max_tokens must be at least 1, got 0",  # vLLM, where a text prompt fills the context exactly
)

# Headers that whoever asks wants on every request made on its behalf, such as a trace context.
call_headers: ContextVar[Mapping[str, str]] = ContextVar("call_headers")


class Transport:
    """Requests to one server. Every failure leaves as an EngineError that names engine, URL and fix."""

    def __init__(
        self, name: str, settings: EngineSettings, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        if settings.url is None:
            raise ValueError("a transport needs a url")
        self.name = name
        self._setting = f"{name}.{'decode_url' if settings.url == settings.decode_url else 'url'}"
        address = settings.url.rstrip("/").removesuffix("/v1")
        self.root = _USER_AND_PASSWORD.sub("", address)  # as errors show it
        self._attempts = settings.attempts
        self._silence = settings.silence_timeout
        headers = {key: value.get_secret_value() for key, value in settings.headers.items()}
        if settings.api_key:
            headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        words = {word for value in headers.values() for word in (value, *value.split())}
        self._secrets = sorted((word for word in words if len(word) >= _SECRET), key=len, reverse=True)
        with self._named_failures():
            if (httpx2.URL(address).port or 0) > _LAST_PORT:
                raise httpx2.InvalidURL("port")
            self._client = httpx2.AsyncClient(
                base_url=address,
                headers=headers,
                timeout=httpx2.Timeout(settings.silence_timeout, connect=settings.connect_timeout, pool=None),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32),
                transport=transport,
                trust_env=False,  # a proxy set for the internet must not come between us and a local server
            )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, route: Route, content: Any = None, model: str = "", option: Any = None) -> Any:
        """One short request, retried; the reply as the route reads it."""
        body = None if route.body is None else route.body(content, model, option)
        async for attempt in self._tries():
            with attempt, self._named_failures():
                response = await self._client.request(
                    "GET" if body is None else "POST",
                    route.path,
                    json=body,
                    headers=dict(call_headers.get({})),
                )
                if response.status_code >= 400:
                    raise self._refused(response.status_code, response.text, response.headers)
                is_json = "json" in response.headers.get("content-type", "")
                try:
                    return route.read(response.json() if is_json else response.text)
                except (ValueError, KeyError, TypeError, AttributeError, IndexError):
                    raise self._not_its_api(route.path, response.text) from None
        raise AssertionError("unreachable")

    async def stream(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> AsyncGenerator[Any, None]:
        """The chunks of a streamed completion, retried until the first one has come.

        Closing this generator closes the connection, which is what makes the server stop its work.
        """
        chunk: Any = None
        chunks: AsyncIterator[Any] = _none()
        async with AsyncExitStack() as stack:
            async for attempt in self._tries():
                with attempt:
                    await stack.aclose()
                    chunks = await stack.enter_async_context(self._opened(body, headers))
                    chunk = await anext(chunks, None)
                    if chunk is None:
                        raise EngineUnavailable(
                            f"{self.root} ended the stream before its first token", engine=self.name
                        )
            while chunk is not None:
                yield chunk
                chunk = await anext(chunks, None)

    @asynccontextmanager
    async def _opened(
        self, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[Any]]:
        headers = {**call_headers.get({}), **headers}
        with self._named_failures():
            async with self._client.sse(
                "/v1/completions", method="POST", json=dict(body), headers=headers, max_event_size=None
            ) as events:
                response = events.response
                if response.status_code >= 400:
                    text = (await response.aread()).decode(errors="replace")
                    raise self._refused(response.status_code, text, response.headers)
                if "event-stream" not in response.headers.get("content-type", ""):
                    text = (await response.aread()).decode(errors="replace")
                    raise self._not_its_api("/v1/completions", text)
                chunks = self._chunks(events)
                try:
                    yield chunks
                finally:
                    await chunks.aclose()

    async def _chunks(self, events: httpx2.EventSource) -> AsyncGenerator[Any, None]:
        with self._named_failures():
            each = aiter(events)
            async for event in each:
                if event.data == "[DONE]":
                    await _to_the_end(each)
                    return
                try:
                    chunk = json.loads(event.data)
                except ValueError:
                    raise self._not_its_api("/v1/completions", event.data) from None
                if not isinstance(chunk, dict):
                    raise self._not_its_api("/v1/completions", event.data)
                reply = cast("dict[str, Any]", chunk)
                if error := reply.get("error"):
                    raise self._refused(_code(error), event.data, {})
                yield reply

    def _tries(self) -> Any:
        def again(error: Exception) -> bool | float:
            if not isinstance(error, EngineUnavailable):
                return False
            return error.retry_after if error.retry_after is not None else True

        return stamina.retry_context(
            on=again, attempts=self._attempts, timeout=None, wait_initial=0.1, wait_max=5.0
        )

    @contextmanager
    def _named_failures(self) -> Generator[None]:
        """Give every failure of the HTTP client a name of ours; the only place that knows its errors."""
        try:
            yield
        except httpx2.ConnectTimeout:
            raise EngineUnavailable(
                f"{self.root} did not accept a connection; is the server running?", engine=self.name
            ) from None
        except httpx2.TimeoutException:
            raise EngineTimeout(
                f"{self.root} was silent for {self._silence:g} s (setting '{self.name}.silence_timeout')",
                engine=self.name,
            ) from None
        except httpx2.ConnectError:
            raise EngineUnavailable(
                f"nothing answers at {self.root}; start the server or correct '{self._setting}'",
                engine=self.name,
            ) from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            raise EngineRejected(
                f"{self.root} is not a URL of a server; correct '{self._setting}'", engine=self.name
            ) from None
        except httpx2.HTTPError as error:
            raise EngineUnavailable(
                f"the connection to {self.root} broke ({type(error).__name__})", engine=self.name
            ) from None

    def _refused(self, status: int, text: str, headers: Mapping[str, str]) -> EngineError:
        said = _message(self._without_secrets(text))
        where = f"{self.root} answered {status}"
        if status in _RETRIED_STATUS:
            error = EngineUnavailable(f"{where}: {said}", engine=self.name)
            error.retry_after = _seconds(headers.get("retry-after"))
            return error
        if any(words in text for words in _OVERFLOW_WORDS):
            return ContextOverflow(f"the prompt does not fit: {said}", engine=self.name)
        if status in {401, 403}:
            return EngineRejected(f"{where}: check '{self.name}.api_key' ({said})", engine=self.name)
        return EngineRejected(f"{where}: {said}", engine=self.name)

    def _without_secrets(self, text: str) -> str:
        """What a server sent, as an error may repeat it: some servers quote the key that they refuse."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _not_its_api(self, path: str, text: str) -> EngineRejected:
        start = " ".join(self._without_secrets(text)[:80].split())
        return EngineRejected(
            f"{self.root}{path} did not answer as a completions API does (it sent {start!r}); "
            f"check '{self._setting}'",
            engine=self.name,
        )


async def _to_the_end(events: AsyncIterator[Any]) -> None:
    """Read what ends a reply that is complete: the connection can only be used again after that."""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_LINGER):
            async for _ in events:
                pass


async def _none() -> AsyncGenerator[Any, None]:
    for nothing in ():
        yield nothing


def _code(error: Any) -> int:
    """The status that an error inside a stream stands for; servers also send a word, or only a text."""
    code: Any = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
    return int(code) if str(code).isdecimal() else 500


def _message(text: str) -> str:
    """The sentence inside an error reply, whatever its shape."""
    found: Any = text
    with suppress(ValueError):
        found = json.loads(text)
    for key in ("error", "message"):
        if isinstance(found, dict):
            found = cast("dict[str, Any]", found).get(key, found)
    return " ".join(str(found).split())[:_QUOTED] or "no reason given"


def _seconds(retry_after: str | None) -> float | None:
    # The header may also hold a date; then our own back-off applies.
    return min(float(retry_after), 30.0) if retry_after and retry_after.isdigit() else None
