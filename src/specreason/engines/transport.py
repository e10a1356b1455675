"""HTTP to one model server: one client, one place for retries, one place where failures get their names."""

import itertools
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import stamina

from specreason.config import EngineSettings
from specreason.config.endpoint import shown_address, texts_in
from specreason.engines.dialects import Route
from specreason.engines.event_stream import NoStream, SentError, chunks
from specreason.engines.reading import Json
from specreason.engines.refusals import PASSING, is_overflow, parsed, sentence, status_of
from specreason.errors import (
    ConfigError,
    ContextOverflow,
    EngineError,
    EngineRejected,
    EngineTimeout,
    EngineUnavailable,
)

_COMPLETIONS = "/v1/completions"
_LAST_PORT = 65535
_HOPS = 3  # times that a server may send us on
_OUT_OF_TLS = ("http", "https")  # to, from
_SECRET = 6  # characters from which on a secret is kept out of errors

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
        address, _, query = settings.url.partition("?")
        address = address.rstrip("/").removesuffix("/v1")
        self.root = shown_address(address)  # as errors show it
        self._attempts = settings.attempts
        self._silence = settings.silence_timeout
        self._heard = False  # anything at all from this server
        headers = {key: value.get_secret_value() for key, value in settings.headers.items()}
        if settings.api_key:
            headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        with self._named_failures():
            if (httpx2.URL(address).port or 0) > _LAST_PORT:
                raise httpx2.InvalidURL("port")
            self._secrets = _secrets_of(settings, headers)
            self._client = httpx2.AsyncClient(
                base_url=address,
                params=httpx2.QueryParams(query),
                headers=headers,
                timeout=httpx2.Timeout(settings.silence_timeout, connect=settings.connect_timeout, pool=None),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32),
                transport=transport,
                verify=transport is not None or _certificates(name, settings.ca_file),
                trust_env=False,  # a proxy set for the internet must not come between us and a local server
            )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, route: Route, content: Any = None, model: str = "", option: Any = None) -> Any:
        """One short request, retried; the reply as the route reads it."""
        body = None if route.body is None else route.body(content, model, option)
        path = route.path if not route.names_model else f"{route.path}?{urlencode({'model': model})}"
        async for attempt in self._tries():
            with attempt:
                async with self._answered(path, body, {}) as response:
                    sent = await _text(response)
                try:
                    return route.read(parsed(sent))
                except (ValueError, KeyError, TypeError, AttributeError, IndexError):
                    raise self._not_its_api(route.path, sent) from None
        raise AssertionError("unreachable")

    async def stream(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> AsyncGenerator[Json, None]:
        """The chunks of a streamed completion, and `DONE` where it comes; retried until the first has come.

        Closing this generator closes the connection, which is what makes the server stop its work.
        """
        chunk: Json | None = None
        rest: AsyncIterator[Json] = _none()
        async with AsyncExitStack() as stack:
            async for attempt in self._tries():
                with attempt:
                    await stack.aclose()
                    response = await stack.enter_async_context(self._answered(_COMPLETIONS, body, headers))
                    rest = await stack.enter_async_context(aclosing(self._chunks(response)))
                    chunk = await anext(rest, None)
                    if chunk is None:
                        raise EngineUnavailable(
                            f"{self.root} ended the stream before its first token", engine=self.name
                        )
            while chunk is not None:
                yield chunk
                chunk = await anext(rest, None)

    @asynccontextmanager
    async def _answered(
        self, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> AsyncGenerator[httpx2.Response, None]:
        """The open reply to a request; where it is an error, that is raised."""
        with self._named_failures():
            response = await self._sent(path, body, {**call_headers.get({}), **headers})
            try:
                if not response.is_success:
                    raise self._refused(response.status_code, await _text(response), response.headers, path)
                yield response
            finally:
                await response.aclose()

    async def _sent(
        self, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> httpx2.Response:
        """The reply, also where the server sends us on: to the same host only, for we send it secrets."""
        url: httpx2.URL | str = path
        for hop in itertools.count():
            request = self._client.build_request(
                "GET" if body is None else "POST", url, json=body, headers=dict(headers)
            )
            response = await self._client.send(request, stream=True)
            self._heard = True
            onward = response.next_request
            if onward is None or hop == _HOPS:
                return response
            if onward.url.host != request.url.host or (onward.url.scheme, request.url.scheme) == _OUT_OF_TLS:
                return response
            await response.aclose()
            url = onward.url
        raise AssertionError("unreachable")

    async def _chunks(self, response: httpx2.Response) -> AsyncGenerator[Json, None]:
        try:
            with self._named_failures():
                async with aclosing(chunks(response)) as parts:
                    async for chunk in parts:
                        yield chunk
        except SentError as error:
            status = status_of(error.found) or 500
            raise self._refused(status, error.found, response.headers, _COMPLETIONS) from None
        except NoStream as error:
            raise self._not_its_api(_COMPLETIONS, error.sent) from None

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
            encrypted = " that speaks https" if self.root.lower().startswith("https:") else ""
            raise EngineUnavailable(
                f"{self.root} did not accept a connection; is a server running there{encrypted}?",
                engine=self.name,
            ) from None
        except httpx2.TimeoutException:
            raise EngineTimeout(
                f"{self.root} was silent for {self._silence:g} s (setting '{self.name}.silence_timeout')",
                engine=self.name,
            ) from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            raise EngineRejected(
                f"{self.root} is not a URL of a server; correct '{self._setting}'", engine=self.name
            ) from None
        except httpx2.HTTPError as error:
            raise self._broken(error) from None

    def _broken(self, error: httpx2.HTTPError) -> EngineError:
        if isinstance(tls := _tls_failure(error), ssl.SSLCertVerificationError):
            return EngineRejected(
                f"the certificate of {self.root} is not trusted ({tls.verify_message}); set "
                f"'{self.name}.ca_file' to the certificate of the authority that signed it",
                engine=self.name,
            )
        if tls is not None:
            return EngineRejected(
                f"{self.root} does not accept a TLS connection ({tls.reason or type(tls).__name__}); "
                f"if it serves plain HTTP, begin '{self._setting}' with http://",
                engine=self.name,
            )
        if isinstance(error, httpx2.ConnectError):
            return EngineUnavailable(
                f"nothing answers at {self.root}; start the server or correct '{self._setting}'",
                engine=self.name,
            )
        if isinstance(error, httpx2.DecodingError | httpx2.LocalProtocolError):
            return EngineRejected(
                f"{self.root} did not answer in HTTP ({type(error).__name__})", engine=self.name
            )
        never = "" if self._heard else f"; if it expects https://, correct '{self._setting}'"
        return EngineUnavailable(
            f"the connection to {self.root} broke ({type(error).__name__}){never}", engine=self.name
        )

    def _refused(self, status: int, sent: Any, headers: Mapping[str, str], path: str) -> EngineError:
        """The error that a server's reply tells; `sent` is its text or JSON."""
        found = parsed(self._without_secrets(sent if isinstance(sent, str) else json.dumps(sent)))
        said = sentence(found)
        where = f"{self.root} answered {status}"
        if is_overflow(found):
            return ContextOverflow(f"the prompt does not fit: {said}", engine=self.name)
        if status in PASSING:
            error = EngineUnavailable(f"{where}: {said}", engine=self.name)
            error.retry_after = _seconds(headers.get("retry-after"))
            return error
        if onward := headers.get("location"):
            to = self._without_secrets(shown_address(onward))
            return EngineRejected(
                f"{where} to {path} and redirects to {to}; correct '{self._setting}'", engine=self.name
            )
        if status in {401, 403}:
            return EngineRejected(f"{where}: check '{self.name}.api_key' ({said})", engine=self.name)
        if status in {404, 405}:
            return EngineRejected(f"{where} to {path}: {said}; check '{self._setting}'", engine=self.name)
        return EngineRejected(f"{where}: {said}", engine=self.name)

    def _without_secrets(self, said: str) -> str:
        """What a server sent, as an error may repeat it: some servers quote the key that they refuse."""
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said

    def _not_its_api(self, path: str, sent: str) -> EngineRejected:
        start = " ".join(self._without_secrets(sent)[:80].split())
        return EngineRejected(
            f"{self.root}{path} did not answer like a completions API (it sent {start!r}); "
            f"check '{self._setting}'",
            engine=self.name,
        )


def _certificates(name: str, ca_file: str | None) -> ssl.SSLContext:
    """Whom we trust: the system's authorities or those of SSL_CERT_FILE, and those of `ca_file`."""
    try:
        trusted = httpx2.create_ssl_context()
    except (OSError, ssl.SSLError):
        raise ConfigError(
            "the variable SSL_CERT_FILE or SSL_CERT_DIR does not point to readable PEM certificates"
        ) from None
    if ca_file is not None:
        try:
            trusted.load_verify_locations(Path(ca_file).expanduser())
        except (OSError, ssl.SSLError):
            raise ConfigError(
                f"'{name}.ca_file' is {ca_file}, which contains no readable PEM certificates"
            ) from None
    return trusted


def _secrets_of(settings: EngineSettings, headers: Mapping[str, str]) -> list[str]:
    """What errors must not repeat, the longest first."""
    url = httpx2.URL(settings.url or "")
    words = {word for value in headers.values() for word in (value, *value.split())}
    words |= {*texts_in(settings.extra_body), *texts_in(settings.template_kwargs)}
    words |= {url.password, quote(url.password), *url.params.values()}
    return sorted((word for word in words if len(word) >= _SECRET), key=len, reverse=True)


def _tls_failure(error: BaseException | None) -> ssl.SSLError | None:
    """The failure of TLS that lies behind an error of the HTTP client."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


async def _text(response: httpx2.Response) -> str:
    return (await response.aread()).decode("utf-8-sig", errors="replace")


async def _none() -> AsyncGenerator[Json, None]:
    for nothing in ():
        yield nothing


def _seconds(retry_after: str | None) -> float | None:
    # The header may also hold a date; then our own back-off applies.
    return min(float(retry_after), 30.0) if retry_after and retry_after.isdecimal() else None
