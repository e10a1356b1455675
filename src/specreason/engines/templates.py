"""Chat templates that we render ourselves, for endpoints that do not tell or apply their own.

Jinja in a sandbox, with the names that model makers' templates expect (as transformers documents them).
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from specreason.engines.protocol import Message
from specreason.errors import ConfigError
from specreason.text_files import read_text

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template and the special tokens that it may name."""

    source: str
    tokens: Mapping[str, str]  # "bos_token", "eos_token"


def load_template(where: str, setting: str) -> Template:
    """The template named by a setting: `chatml`, a Jinja file, a tokenizer_config.json or a model folder.

    Raises ConfigError, which names `setting`, if there is none.
    """
    if where == "chatml":
        return Template(CHATML, {})
    path = Path(where).expanduser()
    if path.is_dir():
        return _from_folder(path, setting)
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"setting '{setting}' is '{where}': not a readable file or folder; use chatml, the path of a "
            "Jinja file, of a tokenizer_config.json or of a model folder"
        ) from None
    return _from_tokenizer_config(text, path, setting) if path.suffix == ".json" else Template(text, {})


def render(template: Template, messages: Sequence[Message], options: Mapping[str, Any]) -> str:
    """The conversation as text, the assistant's turn opened. Raises ConfigError if the template refuses."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _to_json
    names: dict[str, Any] = {"raise_exception": _refuse, "strftime_now": _strftime_now}
    try:
        return environment.from_string(template.source).render(
            messages=messages, add_generation_prompt=True, **names, **template.tokens, **options
        )
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"the chat template refuses this conversation: {error}") from None


def _from_folder(folder: Path, setting: str) -> Template:
    config = folder / "tokenizer_config.json"
    jinja = folder / "chat_template.jinja"
    text = read_text(config) if config.exists() else "{}"
    if not jinja.exists():
        return _from_tokenizer_config(text, config, setting)
    tokens = _special_tokens(json.loads(text))
    return Template(read_text(jinja), tokens)


def _from_tokenizer_config(text: str, path: Path, setting: str) -> Template:
    try:
        config = cast("dict[str, Any]", json.loads(text))
        source = config["chat_template"]
        if not isinstance(source, str):  # several named templates
            source = next(t["template"] for t in source if t["name"] == "default")
    except (ValueError, KeyError, TypeError, StopIteration):
        raise ConfigError(f"setting '{setting}': {path} holds no chat template") from None
    return Template(source, _special_tokens(config))


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("bos_token", "eos_token"):
        token: Any = config.get(name)
        if isinstance(token, dict):
            token = cast("dict[str, Any]", token).get("content")
        found[name] = str(token or "")
    return found


def _to_json(value: object, **_: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now(datetime.UTC).strftime(pattern)
