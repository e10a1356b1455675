"""Checks of the headers before a request is read: one length of its body, and an allowed Host."""

from collections.abc import Collection, Iterable, Sequence

from specreason.config import ServerSettings
from specreason.server.auth import Keys, is_loopback
from specreason.server.errors import Refused

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ANY = "*"
_LONGEST_NAME = 100  # characters of a request that an error message quotes
Headers = Sequence[tuple[bytes, bytes]]


def hosts_for(settings: ServerSettings, keys: Keys) -> Collection[str] | None:
    """The names under which clients may reach the server; None: any.

    A web page can point a name of its own at 127.0.0.1 (DNS rebinding) and then call a server there as if it
    were its own; only the Host header gives it away. Keys keep such a page out as well.
    """
    named = settings.allowed_hosts
    if _ANY in named or (not named and (keys or not is_loopback(settings.host))):
        return None
    return frozenset(_name(host) for host in (*_LOOPBACK, settings.host, *named))


def check_host(headers: Headers, allowed: Collection[str] | None) -> None:
    """Raise Refused (403) if the request is for a host that is not `allowed`. Browsers always name one."""
    if allowed is None:
        return
    for host in _values(headers, b"host"):
        if _name(host) not in allowed:
            raise Refused(
                f"host {host[:_LONGEST_NAME]!r} (header Host) is not allowed; call the server as "
                "localhost, or add the name to the setting 'server.allowed_hosts'",
                status=403,
                code="host_not_allowed",
            )


def check_length(headers: Headers) -> None:
    """Raise Refused (400) if the body has two lengths, and close the connection.

    A proxy may use one and we the other: part of the body would then be read as a request (request smuggling,
    RFC 9112, section 6.1).
    """
    if has_two_lengths(headers):
        raise Refused(
            "the request has both Content-Length and Transfer-Encoding; send one of them",
            code="ambiguous_length",
            headers={"Connection": "close"},
        )


def has_two_lengths(headers: Headers) -> bool:
    """Whether the request says in two ways where its body ends."""
    return {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}


def _values(headers: Headers, wanted: bytes) -> Iterable[str]:
    return (value.decode("latin-1") for name, value in headers if name == wanted)


def _name(host: str) -> str:
    """`host` without its port, as names are compared."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name = host if host.count(":") > 1 else host.partition(":")[0]  # ::1 has no port
    return name.removesuffix(".")
