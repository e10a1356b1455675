"""The address and the secrets of an endpoint: as users paste them, as requests need them, as we show them."""

import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

_SCHEME = re.compile(r"https?://[^/\s?#]+", re.IGNORECASE)
_ENDPOINT = re.compile(r"(/chat)?/(completions|models|responses|embeddings|messages)$")
_PASSWORD = re.compile(r"(?<=//).*@")  # up to the last sign, since some passwords hold one
_QUERY = re.compile(r"\?.*", re.DOTALL)
_AROUND = " \t\r\n\v\f\xa0\u200b\u2060\ufeff"  # white space, and what is none to see
_HIDDEN = "***"


def base_address(pasted: str) -> str:
    """The base URL in what was pasted: the address of an endpoint below it is taken for the base.

    A query stays, since some gateways ask for one (?api-version=). Raises ValueError.
    """
    url = pasted.strip(_AROUND).rstrip(".,;")
    if not _SCHEME.match(url):
        raise ValueError(
            "it must be an address that begins with http:// or https://, such as http://127.0.0.1:8000/v1"
        )
    parts = urlsplit(url)
    path = _ENDPOINT.sub("", parts.path.rstrip("/")).rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def shown_address(url: str) -> str:
    """A URL without its password, and without the values that a query may hold."""
    return _QUERY.sub(f"?{_HIDDEN}", _PASSWORD.sub(f"{_HIDDEN}@", url))


def for_a_header(value: str) -> str:
    """The value as a header carries it, without the white space around it.

    Raises ValueError, without the value, for characters that no header can carry: they come from copying.
    """
    value = value.strip()
    for place, character in enumerate(value, start=1):
        if not (character.isascii() and (character.isprintable() or character == "\t")):
            raise ValueError(
                f"character {place} of {len(value)} is U+{ord(character):04X}, which no header can carry; "
                "copy it again, whole"
            )
    return value


def without_texts(value: Any) -> Any:
    """A table as it may be shown: its keys, numbers and switches, for any text in it may be a secret."""
    if isinstance(value, Mapping):
        return {key: without_texts(inner) for key, inner in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [without_texts(inner) for inner in cast("list[Any]", value)]
    return value if value is None or isinstance(value, bool | int | float) else _HIDDEN


def texts_in(value: Any) -> list[str]:
    """All texts inside a table."""
    if isinstance(value, str):
        return [value]
    inner: Any = ()
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, Any]", value).values()
    elif isinstance(value, list):
        inner = cast("list[Any]", value)
    return [text for part in inner for text in texts_in(part)]
