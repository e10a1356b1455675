"""Values out of a server's JSON, whatever it holds: what is not of the kind asked for is not there.

Nothing here raises. Servers send null, texts and fractions where others send numbers.
"""

import math
from collections.abc import Mapping
from typing import Any, cast

Json = Mapping[str, Any]

_LONGEST_NUMBER = 30  # characters


def inner(reply: Json, key: str) -> Json:
    """The object under `key`; an empty one where there is none."""
    value: Any = reply.get(key)
    return cast("Json", value) if isinstance(value, Mapping) else {}


def listed(reply: Json, key: str) -> list[Any]:
    """The list under `key`; an empty one where there is none."""
    value: Any = reply.get(key)
    return cast("list[Any]", value) if isinstance(value, list) else []


def objects(reply: Json, key: str) -> list[Json]:
    """The objects of the list under `key`."""
    return [entry for entry in listed(reply, key) if isinstance(entry, Mapping)]


def number(value: Any) -> float | None:
    """A number, also where it is written as a text; None for one that is none (NaN)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value[:_LONGEST_NUMBER] if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(found) else found


def count(value: Any) -> int | None:
    """A whole number from 0 on."""
    found = number(value)
    return int(found) if found is not None and 0 <= found < math.inf else None


def log_probability(value: Any) -> float:
    """A log-probability; where the server tells none, as JSON has no infinity, that of the impossible."""
    found = number(value)
    return -math.inf if found is None else found


def token_ids(value: Any) -> list[int] | None:
    """Token ids; None if any of them is none."""
    if not isinstance(value, list):
        return None
    ids = [i for i in cast("list[Any]", value) if type(i) is int and i >= 0]
    return ids if len(ids) == len(cast("list[Any]", value)) else None


def text(value: Any) -> str:
    """A text; half a character of a pair (U+D800 to U+DFFF) becomes U+FFFD, for no encoding takes it."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else whole_characters(value)


def whole_characters(halves: str) -> str:
    """The text with the halves of characters put together; one that is alone becomes U+FFFD."""
    return halves.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
