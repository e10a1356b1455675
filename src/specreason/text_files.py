"""Text files as users and their editors write them."""

import codecs
from pathlib import Path


def read_text(path: Path) -> str:
    """The text of a file; see `decoded`. Raises OSError or UnicodeDecodeError."""
    return decoded(path.read_bytes())


def decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 if a byte order mark says so. The mark is no part of the text; CR LF is a line feed.

    Raises UnicodeDecodeError.
    """
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if marked else "utf-8-sig").replace("\r\n", "\n")


def lines(text: str) -> list[str]:
    """The lines of JSON Lines. Only a line feed ends one: texts in JSON may hold all other separators."""
    return text.split("\n")
