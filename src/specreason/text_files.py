"""Text files as users and their editors write them."""

import codecs
import errno
import os
import shutil
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


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all: it is written beside, and takes the old one's place when it is done.

    Links are followed, the old file's permissions stay, and what is no file (a pipe, a terminal) is written
    to as it is. Raises OSError; what was there before is then still there.
    """
    real = Path(os.path.realpath(path))
    if real.exists() and not real.is_file():
        real.write_text(text, encoding="utf-8")
        return
    partial = real.with_name(f".{real.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        if real.exists():
            shutil.copymode(real, partial)
        partial.replace(real)
    except OSError as error:
        # A folder that takes no new file, or a file that is mounted by itself, as in a container.
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EBUSY}:
            raise
        real.write_text(text, encoding="utf-8")
    finally:
        partial.unlink(missing_ok=True)
