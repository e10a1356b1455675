"""The threshold into the configuration file, which keeps its comments and its order."""

from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

from specreason.errors import ConfigError
from specreason.text_files import read_text, write_text


def write_threshold(path: Path, value: float, method: str, why: str) -> None:
    """Set `policy.specreason.threshold` and the method that it belongs to, with `why` as its comment."""
    try:
        text = read_text(path) if path.exists() else ""
        document: Any = tomlkit.parse(text)
        policies: Any = document.setdefault("policy", tomlkit.table(is_super_table=True))
        section: Any = policies.setdefault("specreason", tomlkit.table())
        section["threshold"] = tomlkit.item(round(value, 3)).comment(why)
        section["judge_method"] = method
        write_text(path, tomlkit.dumps(document))
    except ParseError as error:
        raise ConfigError(f"config file {path} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"config file {path}: {error.strerror}") from None
