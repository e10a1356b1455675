"""Weights from the model hub: one file over HTTP, resumed where an earlier try stopped."""

import os
import re
from pathlib import Path

import httpx2

from specreason.models.catalogue import HubFile, Weights
from specreason.models.disk import need_space
from specreason.models.source import OnProgress, Progress, SourceError

_DEFAULT_ENDPOINT = "https://huggingface.co"
# The short connect time-out lets a machine without a hub go on to the next source quickly.
_TIMEOUT = httpx2.Timeout(30.0, connect=5.0)  # seconds
_ATTEMPTS = 5
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)$")
_SHA256 = re.compile(r"[0-9a-f]{64}$")


def fetch(weights: Weights, source: HubFile, partial: Path, on_progress: OnProgress) -> Path:
    """Complete `partial` from the hub and return it; its content is not verified yet.

    Raises SourceError if the hub is out of reach, refuses, or holds another file under that name. A broken
    connection is taken up again as long as each try brings bytes.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in {"1", "on", "true", "yes"}:
        raise SourceError("The environment variable HF_HUB_OFFLINE switches off the hub.")
    if _size(partial) > weights.bytes:
        partial.unlink()
    need_space(partial.parent, weights.bytes - _size(partial))
    with httpx2.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
        for _ in range(_ATTEMPTS):
            before = _size(partial)
            if before == weights.bytes:
                break
            reason = _try(client, weights, source, partial, on_progress)
            if _size(partial) == before:
                raise SourceError(f"{_hub()} {reason}.")
    if _size(partial) != weights.bytes:
        raise SourceError(f"{_hub()} broke off {_ATTEMPTS} times, at {_size(partial):,} bytes the last time.")
    return partial


def _try(
    client: httpx2.Client, weights: Weights, source: HubFile, partial: Path, on_progress: OnProgress
) -> str:
    """Stream what one request gives into `partial`; say why it stopped, in case it brought nothing."""
    start = _size(partial)
    url = f"{_endpoint()}/{source.repo}/resolve/{source.revision}/{source.file}"
    try:
        with client.stream("GET", url, headers=_headers(start)) as response:
            start = _start_of(response, weights, start, partial)
            # A server without Range sends everything again: so the file starts again, too.
            with partial.open("ab" if start else "wb") as file:
                # As it arrives: a piece of a set size would be lost, half filled, when the connection breaks.
                for piece in response.iter_bytes():
                    file.write(piece)
                    start += len(piece)
                    on_progress(Progress("hub", start, weights.bytes))
    except (httpx2.TransportError, httpx2.InvalidURL, httpx2.TooManyRedirects) as error:
        return f"is out of reach ({error or type(error).__name__})"
    return "sent nothing"


def _start_of(response: httpx2.Response, weights: Weights, wanted: int, partial: Path) -> int:
    """The offset of the first byte that this answer brings; SourceError if it cannot be our file."""
    if response.status_code not in {200, 206, 416}:
        raise SourceError(f"{_hub()} answered {response.status_code} {response.reason_phrase}.")
    if response.status_code == 200:
        start, total = 0, int(response.headers.get("content-length", weights.bytes))
    elif found := _CONTENT_RANGE.match(response.headers.get("content-range", "")):
        start, total = int(found[1]), int(found[2])
    else:
        start, total = -1, weights.bytes
    if total != weights.bytes or not _hash_agrees(response, weights):
        partial.unlink(missing_ok=True)
        raise SourceError(f"{_hub()} has a different file under this name (size or SHA-256 differ).")
    if start not in {0, wanted}:
        partial.unlink(missing_ok=True)
        raise SourceError(f"{_hub()} did not send the part of the file that was asked for.")
    return start


def _hash_agrees(response: httpx2.Response, weights: Weights) -> bool:
    """Whether the SHA-256 that the hub announces, if it does, is ours: it spares a long download in vain."""
    for answer in (*response.history, response):
        announced = answer.headers.get("x-linked-etag", "").strip('"')
        if _SHA256.match(announced):
            return announced == weights.sha256
    return True


def _headers(start: int) -> dict[str, str]:
    # Compressed transfer would make byte offsets meaningless.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    token = os.environ.get("HF_TOKEN", "").strip()
    if token and not (token.isascii() and token.isprintable()):
        raise SourceError("HF_TOKEN contains characters that no token has.")
    if token:
        # The client drops this header when a redirect leaves the host.
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT", "").strip() or _DEFAULT_ENDPOINT).rstrip("/")


def _hub() -> str:
    # Only the host: an endpoint may carry a password.
    try:
        host = httpx2.URL(_endpoint()).host
    except httpx2.InvalidURL:
        host = ""
    return f"The hub ({host or 'HF_ENDPOINT is no address'})"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
