"""Authentication: API keys, compared as digests, all of them, in constant time."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence

from specreason.config import ServerSettings
from specreason.errors import ConfigError
from specreason.server.errors import Refused
from specreason.text_files import read_text

ANYONE = "anyone"
_NAME_LENGTH = 8
_SHORTEST_KEY = 8
_LOOPBACK = {"localhost", "::1"}


class Keys:
    """The valid keys; without any, every request is accepted."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in dict.fromkeys(keys)]

    def __len__(self) -> int:
        return len(self._digests)

    def holder(self, headers: Mapping[bytes, bytes]) -> str:
        """A short name for the key in `headers` (its digest, cut), fit for logs. Raises Refused (401)."""
        if not self._digests:
            return ANYONE
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not given.strip():
            raise _unauthorized("no API key; send it as 'Authorization: Bearer KEY'", "missing_api_key")
        digest = hashlib.sha256(given.strip()).digest()
        # No early exit: the time taken must not depend on which key is close.
        if not sum([hmac.compare_digest(digest, known) for known in self._digests]):
            raise _unauthorized("unknown API key", "invalid_api_key")
        return digest.hex()[:_NAME_LENGTH]


def load_keys(settings: ServerSettings) -> Keys:
    """The keys of the settings and of their file.

    Raises ConfigError if the file cannot be read, a key is too short to be one, or the address is open to
    others and there is no key.
    """
    keys = [key.get_secret_value() for key in settings.api_keys]
    _check(keys, "setting 'server.api_keys'")
    if settings.api_keys_file is not None:
        try:
            lines = read_text(settings.api_keys_file).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"setting 'server.api_keys_file': {settings.api_keys_file} cannot be read "
                f"({type(error).__name__})"
            ) from None
        listed = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not listed:
            raise ConfigError(f"setting 'server.api_keys_file': {settings.api_keys_file} has no key")
        _check(listed, f"setting 'server.api_keys_file': {settings.api_keys_file}")
        keys += listed
    if not keys and not settings.allow_anonymous and not is_loopback(settings.host):
        raise ConfigError(
            f"setting 'server.host' is {settings.host!r}, which other machines can reach, and there is no "
            "API key; set 'server.api_keys' or 'server.api_keys_file' (or 'server.allow_anonymous', if a "
            "proxy in front checks clients)"
        )
    return Keys(keys)


def _check(keys: Sequence[str], where: str) -> None:
    for number, key in enumerate(keys, start=1):
        if len(key) < _SHORTEST_KEY or not key.isascii() or " " in key:
            raise ConfigError(
                f"{where}: key {number} of {len(keys)} cannot be used; a key has at least {_SHORTEST_KEY} "
                "ASCII characters and no spaces"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    return host in _LOOPBACK or host.startswith("127.")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _unauthorized(message: str, code: str) -> Refused:
    return Refused(message, status=401, code=code, headers={"WWW-Authenticate": "Bearer"})
