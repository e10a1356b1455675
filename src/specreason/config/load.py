"""Settings from one TOML file, the environment and flags, in rising order of authority.

Each value remembers its source, so that an error can say which file, variable or flag to mend.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from specreason.config.assignments import assignments, nearest
from specreason.config.endpoint import shown_address
from specreason.config.policies import policy_sections
from specreason.config.settings import EngineSettings, Settings
from specreason.errors import ConfigError
from specreason.extensions import extensions
from specreason.text_files import read_text

ENV_PREFIX = "SPECREASON_"
ENV_NESTED = "__"
# Read elsewhere; not settings of a run.
ENV_OTHER = frozenset({"SPECREASON_CACHE", "SPECREASON_CONFIG"})
DEFAULT_FILE = Path("specreason.toml")
_TYPE_NAMES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}


def load_settings(
    file: str | Path | None = None,
    flags: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    sets: Iterable[str] | None = None,
    varied: Mapping[str, object] | None = None,
) -> Settings:
    """Merge the sources and check them.

    `flags` maps dotted keys ("reasoning.lookahead") to values; None values are skipped. `sets` are texts
    KEY=VALUE, as of --set; `varied`: values of --vary, by dotted key. `file` defaults to $SPECREASON_CONFIG,
    then ./specreason.toml if it is there. Raises ConfigError, which names the key, the value, its source and
    the nearest valid one.
    """
    env = os.environ if env is None else env
    values: dict[str, object] = {}
    source: dict[str, str] = {}

    for key, value, origin in (
        *_from_file(None if file is None else Path(file), env),
        *_from_env(env),
        *_from_flags(flags or {}),
        *_from_sets(sets or ()),
        *((key, value, "from --vary") for key, value in (varied or {}).items()),
    ):
        _put(values, key, value)
        source[key] = origin
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(error, source))) from None


def setting_keys(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """All dotted keys that can be set, in the order in which they are documented."""
    return (key for key, _ in leaves(section, prefix))


def leaves(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its dotted key, the knobs of all policies included."""
    for name, field in section.model_fields.items():
        kind = policy_sections() if section is Settings and name == "policy" else field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def env_name(key: str) -> str:
    """The environment variable of a dotted key: `base.url` is SPECREASON_BASE__URL."""
    return ENV_PREFIX + key.upper().replace(".", ENV_NESTED)


def _from_file(file: Path | None, env: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    named = file or (Path(env["SPECREASON_CONFIG"]) if env.get("SPECREASON_CONFIG") else None)
    path = named or DEFAULT_FILE
    if named is None and not path.exists():
        return
    try:
        table = tomllib.loads(read_text(path))
    except OSError as error:
        raise ConfigError(f"config file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path} is not valid TOML: {error}") from None
    yield from _leaves(table, "", f"in {path}")


def _leaves(table: Mapping[str, object], prefix: str, origin: str) -> Iterator[tuple[str, object, str]]:
    sections = {key[:dot] for key in setting_keys() for dot, sign in enumerate(key) if sign == "."} | {
        "models"
    }
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and (key in sections or key == "models" or prefix == "models."):
            yield from _leaves(cast("dict[str, object]", value), f"{key}.", origin)
        else:
            yield key, value, origin


def _from_env(env: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    known = {env_name(key): key for key in setting_keys()}
    for name, value in sorted(env.items()):
        if not name.startswith(ENV_PREFIX) or name in ENV_OTHER:
            continue
        if (key := known.get(name) or _of_a_model(name)) is None:
            raise ConfigError(f"unknown environment variable {name}; {nearest(name, list(known))}")
        # Tables and lists (headers, server.api_keys) are written as in TOML.
        yield key, _inline(name, value) if value.startswith(("{", "[")) else value, f"from {name}"


def _of_a_model(name: str) -> str | None:
    """The key of a variable that sets something of one of the further models."""
    parts = name.removeprefix(ENV_PREFIX).lower().split(ENV_NESTED)
    known = len(parts) == 3 and parts[0] == "models" and parts[2] in EngineSettings.model_fields
    return ".".join(parts) if known else None


def _inline(name: str, value: str) -> object:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        shape = "inline table such as {a = 1}" if value.startswith("{") else "list such as ['a', 'b']"
        # The parser's message may quote what stands there, which may be a key.
        why = "" if _is_secret(name.rpartition(ENV_NESTED)[2].lower()) else f": {error}"
        raise ConfigError(f"{name} is not a TOML {shape}{why}") from None


def _from_flags(flags: Mapping[str, object]) -> Iterator[tuple[str, object, str]]:
    for key, value in flags.items():
        if value is not None:
            yield key, value, f"from --{key.rsplit('.', 1)[-1].replace('_', '-')}"


def _from_sets(sets: Iterable[str]) -> Iterator[tuple[str, object, str]]:
    for key, value in assignments("--set", sets, list(setting_keys())).items():
        yield key, value, "from --set"


def _put(values: dict[str, object], key: str, value: object) -> None:
    *sections, leaf = key.split(".")
    for name in sections:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            return  # a section that is no table; the check says so
        values = cast("dict[str, object]", inner)
    values[leaf] = value


def _explain(error: ValidationError, source: Mapping[str, str]) -> Iterator[str]:
    for problem in error.errors(include_input=True, include_url=False):
        location = [str(part) for part in problem["loc"] if not str(part).startswith("function-")]
        key = next(
            (k for k in (".".join(location[:n]) for n in (3, 2, 1)) if k in source), ".".join(location)
        )
        origin = source.get(key, "")
        if problem["type"] == "extra_forbidden":
            yield f"unknown setting '{key}' {origin}; {_hint(location)}".replace(" ;", ";")
        else:
            value = "(hidden)" if _is_secret(key) else _shown(problem.get("input"))
            expected = _expected(problem["type"], problem["msg"])
            yield f"setting '{key}' {origin} is {value}: {expected}{_nearest_value(problem)}"


def _hint(location: Sequence[str]) -> str:
    if location[0] == "policy" and len(location) > 1 and location[1] not in extensions("policies"):
        return f"no policy '{location[1]}' is installed; there are: {', '.join(extensions('policies'))}"
    return nearest(".".join(location), list(setting_keys()))


def _is_secret(key: str) -> bool:
    return key.rsplit(".", 1)[-1] in {"api_key", "api_keys", "headers", "extra_body", "template_kwargs"}


def _shown(value: object) -> str:
    return repr(shown_address(value) if isinstance(value, str) and "//" in value else value)


def _nearest_value(problem: ErrorDetails) -> str:
    """The valid value nearest to the one given, where there is one."""
    limits: dict[str, Any] = problem.get("ctx", {})
    for name in ("ge", "le"):
        if name in limits:
            return f"; nearest valid value: {limits[name]:g}"
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']+)'", str(limits.get("expected", "")))
        close = difflib.get_close_matches(str(problem.get("input")), choices, n=1, cutoff=0.3)
        return f"; did you mean '{close[0]}'?" if close else ""
    return ""


def _expected(kind: str, message: str) -> str:
    name = kind.removesuffix("_parsing").removesuffix("_type")
    return (
        f"it must be {_TYPE_NAMES[name]}"
        if name in _TYPE_NAMES
        else message.removeprefix("Value error, ").replace("Input should", "it must")
    )
