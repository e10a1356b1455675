"""Text files as editors write them, and files that are written whole or not at all."""

import errno
import os
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from specreason.config import ServerSettings, load_settings
from specreason.engines.templates import load_template
from specreason.server.auth import load_keys
from specreason.text_files import lines, read_text, write_text

TEXT = "caf\u00e9\n[a]\n"
ENCODED = [
    TEXT.encode(),
    TEXT.encode("utf-8-sig"),
    TEXT.encode("utf-16"),
    b"\xfe\xff" + TEXT.encode("utf-16-be"),
    TEXT.replace("\n", "\r\n").encode("utf-8-sig"),
]


@contextmanager
def no_file_longer_than(size: int) -> Generator[None]:
    """What the system refuses then is refused as on a full disk: in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("content", ENCODED)
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    assert read_text(path) == TEXT


@pytest.mark.parametrize("content", [b"\xff", b"\xff\xfea", "caf\u00e9".encode("latin-1")])
def test_what_is_no_text_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with pytest.raises(UnicodeDecodeError):
        read_text(path)


def test_only_a_line_feed_ends_a_line() -> None:
    assert lines("a\u2028b\u2029c\x85d\x0b\x0c\x1ce\nf") == ["a\u2028b\u2029c\x85d\x0b\x0c\x1ce", "f"]


def test_settings_keys_and_templates_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("[reasoning]\r\ntoken_budget = 3\r\n", encoding="utf-8-sig")
    assert load_settings(tmp_path / "s.toml", env={}).reasoning.token_budget == 3
    (tmp_path / "keys").write_text("first-long-key\nsecond-long-key\n", encoding="utf-8-sig")
    keys = load_keys(ServerSettings(api_keys_file=tmp_path / "keys"))
    keys.holder({b"authorization": b"Bearer first-long-key"})
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}", encoding="utf-8-sig")
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>"}', encoding="utf-8-sig")
    for where in (tmp_path, tmp_path / "chat_template.jinja"):
        assert load_template(str(where), "base.chat_template").source == "{{ bos_token }}"


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_text(path, "before")
    with no_file_longer_than(10_000), pytest.raises(OSError, match="File too large"):
        write_text(path, "x" * 20_000)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path, link = tmp_path / "elsewhere" / "s.toml", tmp_path / "s.toml"
    path.write_text("before")
    path.chmod(0o600)
    link.symlink_to(path)
    write_text(link, "after")
    assert link.is_symlink()
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("after", 0o600)


def test_what_is_no_file_is_written_to_as_it_is() -> None:
    write_text(Path(os.devnull), "gone")
    assert not Path(os.devnull).is_file()


def test_a_file_that_nothing_can_take_the_place_of_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(self: Path, target: Path) -> Path:
        raise OSError(errno.EBUSY, "Device or resource busy", str(self), None, str(target))

    path = tmp_path / "mounted.toml"
    path.write_text("before")
    monkeypatch.setattr(Path, "replace", busy)
    write_text(path, "after")
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]
