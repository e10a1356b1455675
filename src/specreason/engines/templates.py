"""Chat templates that we render ourselves, for endpoints that do not tell or apply their own.

Jinja in a sandbox, as transformers sets it up for the templates that model makers publish
(transformers.utils.chat_template_utils): its tags, filters, functions and variables.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from specreason.engines.protocol import Message
from specreason.errors import ConfigError
from specreason.text_files import read_text

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template, the special tokens that it may name, and the one that takes its place with tools."""

    source: str
    tokens: Mapping[str, str]  # "bos_token", "eos_token" ...
    with_tools: str | None = None


class _Generation(Extension):
    """`{% generation %}`: marks what the assistant says, for training; it changes nothing of the text."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        inside = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(inside, lineno=line)


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
            f"setting '{setting}' is '{where}', which is not a readable file or folder; use chatml, or the "
            "path of a Jinja file, a tokenizer_config.json or a model folder"
        ) from None
    return _from_tokenizer_config(text, path, setting) if path.suffix == ".json" else Template(text, {})


def render(
    template: Template,
    messages: Sequence[Message],
    options: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The conversation as text, the assistant's turn opened. Raises ConfigError if the template refuses.

    `options` are further variables of the template; they replace none of those that it always has.
    """
    environment = _environment()
    environment.filters["tojson"] = _to_json
    source = template.with_tools if tools and template.with_tools is not None else template.source
    names: dict[str, Any] = {"raise_exception": _refuse, "strftime_now": _strftime_now, "documents": None}
    names |= {**template.tokens, **options}
    names |= {
        "messages": [_as_templates_take_it(message) for message in messages],
        "tools": [dict(tool) for tool in tools] or None,
        "add_generation_prompt": True,
    }
    try:
        return environment.from_string(source).render(names)
    except (
        jinja2.TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ConfigError(f"the chat template refuses this conversation: {error}") from None


def written_by(template: Template) -> str:
    """Everything that the template itself may write: its own text, and the strings of its expressions."""
    texts: list[str] = list(template.tokens.values())
    for source in (template.source, template.with_tools or ""):
        try:
            parsed = _environment().parse(source)
        except jinja2.TemplateError:
            return source  # rendering tells what is wrong with it
        texts += [data.data for data in parsed.find_all(nodes.TemplateData)]
        texts += [str(constant.value) for constant in parsed.find_all(nodes.Const)]
    return "\n".join(texts)


def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )


def _as_templates_take_it(message: Message) -> dict[str, Any]:
    """The arguments of tool calls as objects; clients send them as JSON texts."""
    calls: Any = message.get("tool_calls")
    if not calls:
        return dict(message)
    return {**message, "tool_calls": [_with_arguments(call) for call in calls]}


def _with_arguments(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function: Any = call.get("function")
    if not isinstance(function, Mapping):
        return call
    fields = cast("Mapping[str, Any]", function)
    try:
        arguments: Any = json.loads(fields.get("arguments") or "{}")
    except (ValueError, TypeError):
        return call
    return {**call, "function": {**fields, "arguments": arguments}} if isinstance(arguments, dict) else call


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
        source, with_tools = config["chat_template"], None
        if not isinstance(source, str):  # several named templates
            named: dict[str, str] = {t["name"]: t["template"] for t in source}
            source, with_tools = named["default"], named.get("tool_use")
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"setting '{setting}': {path} contains no chat template") from None
    return Template(source, _special_tokens(config), with_tools)


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _TOKENS:
        token: Any = config.get(name)
        if isinstance(token, dict):
            token = cast("dict[str, Any]", token).get("content")
        if token or name in {"bos_token", "eos_token"}:
            found[name] = str(token or "")
    return found


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now().astimezone().strftime(pattern)
