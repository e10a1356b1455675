"""What a server's error says: its sentence, the status it stands for, whether a prompt was too long.

Servers agree on none of it. Errors come as objects and as texts, inside `error`, `detail` or `errors`, with a
number, a word or nothing as the code, with an honest status or with 200, and as web pages of gateways.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from specreason.engines.reading import Json, count, inner, text

PASSING = frozenset(
    {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
)  # the same may go well later
_QUOTED = 300  # characters of a server's own message that an error repeats
_DEEPEST = 5  # objects inside one another that are looked into
_MESSAGES = (
    "message",
    "detail",
    "msg",
    "error",
    "errors",
    "error_message",
    "error_description",
    "reason",
    "title",
)
_CODES = ("code", "status", "status_code", "http_status", "type", "error_type")

# What a prompt is said to be too long for, and what is said of it; limits of other things are left out.
_ROOM = re.compile(
    r"context|prompt|\binputs?\b|input_|token_?s? (count|length)|requested tokens?|sequence length|"
    r"max_(seq|model|input)_len|max_tokens|session_len|n_ctx|length of all messages"
)
_BEYOND = re.compile(
    r"exceed|longer than|too (long|large)|too many (input |prompt )?tokens|overflow|maximum context|"
    r"context (length|window)|less than \d+ tokens|must be <= \d+|"
    r"> ?\d+ maximum|at least 1, got (0|-\d)"
)
_OTHER_LIMITS = re.compile(
    r"per[ _-]?(minute|min|second|sec|hour|day)\b|rate[ _-]?limit|quota|too many requests|string_above_max|"
    r"payload|request (body|entity)|max_tokens (is )?too large|timed? ?out|deadline"
)
_STATUS_OF_WORDS: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(words), status)
    for words, status in (
        (r"rate.?limit|too.?many.?requests|quota|exhausted", 429),
        (r"auth|api.?key|unauthorized", 401),
        (r"permission|forbidden", 403),
        (r"not.?found|no.?such|unknown.?model", 404),
        (r"overload|unavailable|busy|capacity|loading", 503),
        (r"time.?out|deadline", 504),
        (r"internal|server.?error|engine", 500),
        (r"bad.?request|invalid|unsupported|not.?supported|validation|unprocessable|value.?error", 400),
    )
)
_TITLE = re.compile(r"<(title|h1)[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(script|style).*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


def parsed(reply: str) -> Any:
    """The JSON in a reply, or the reply itself where it is none."""
    try:
        return json.loads(reply)
    except (ValueError, RecursionError):
        return reply


def is_error(reply: Json) -> bool:
    """Whether an object in place of a chunk tells an error; chunks with a null or empty error do not."""
    if _says(reply.get("error")) or reply.get("object") == "error" or reply.get("type") == "error":
        return True
    return "choices" not in reply and any(reply.get(key) for key in ("message", "detail", "errors", "msg"))


def sentence(found: Any) -> str:
    """What an error says, on one line."""
    return " ".join(_said(found).split())[:_QUOTED] or "no reason given"


def status_of(found: Any) -> int | None:
    """The HTTP status that the error itself tells, by a number or a word; None if it tells none."""
    words: list[str] = []
    for part in _parts(found):
        for key in _CODES:
            code = part.get(key)
            if (number := count(code)) is not None and 400 <= number < 600:
                return number
            words.append(text(code).lower())
    return next(
        (status for said in words for known, status in _STATUS_OF_WORDS if said and known.search(said)), None
    )


def is_overflow(found: Any) -> bool:
    """Whether the error says that the prompt does not fit, in any of the words that servers use."""
    said = _said(found).lower()
    named = {text(part.get(key)).lower() for part in _parts(found) for key in _CODES}
    if any("context" in name and ("exceed" in name or "overflow" in name) for name in named):
        return True
    if "contextwindowexceeded" in said:
        return True
    return bool(_ROOM.search(said) and _BEYOND.search(said) and not _OTHER_LIMITS.search(said))


def _says(value: Any) -> bool:
    return any(map(_says, cast("Json", value).values())) if isinstance(value, Mapping) else bool(value)


def _parts(found: Any) -> list[Json]:
    """The objects that may hold a code, the innermost first."""
    parts: list[Json] = []
    while isinstance(found, Mapping) and len(parts) < _DEEPEST:
        part = cast("Json", found)
        parts.insert(0, part)
        found = inner(part, "error") or inner(part, "detail") or None
    return parts


def _said(found: Any, depth: int = 0) -> str:
    if isinstance(found, str):
        return _of_a_page(found) if found.lstrip()[:1] == "<" else text(found)
    if isinstance(found, Mapping) and depth < _DEEPEST:
        part = cast("Json", found)
        inside = next((said for key in _MESSAGES if (said := _said(part.get(key), depth + 1))), "")
        where = part.get("loc")  # FastAPI's list of what is wrong with a request
        path = (
            ".".join(map(str, cast("list[Any]", where))) + ": " if isinstance(where, list) and inside else ""
        )
        return path + inside if inside or depth else json.dumps(found)
    if isinstance(found, list) and depth < _DEEPEST:
        return "; ".join(filter(None, (_said(entry, depth + 1) for entry in cast("list[Any]", found)[:3])))
    return "" if found is None else str(cast("object", found))


def _of_a_page(page: str) -> str:
    """A gateway's web page in a few words: its title, or its text."""
    title = _TITLE.search(page)
    words = _TAG.sub(" ", title.group(2) if title else page)
    return f"a web page, {' '.join(words.split())[:80]!r}"
