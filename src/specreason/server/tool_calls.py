"""Tool calls: the JSON schema of a demanded one, and how calls are found in the text of an answer.

Forms that are read, each as its makers document it:

- Hermes and Qwen: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, once for each call
  (NousResearch, Hermes-Function-Calling; Qwen documentation, "Function Calling").
- Mistral: `[TOOL_CALLS]` before a list of such objects, or before `name[ARGS]{...}` for each call
  (mistral-common, instruct tokenizers v3 to v13).
- Llama 3: the whole answer is `{"name": ..., "parameters": {...}}`, several with `;` between them, with or
  without `<|python_tag|>` before (llama-models, prompt format of Llama 3.1).

A call counts only if its name is one of the request's tools; all else stays text.
"""

import json
import re
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from specreason.server.errors import Refused
from specreason.server.messages import FunctionDefinition

_HERMES, _MISTRAL, _LLAMA = "<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"
_MARKS = (_HERMES, _MISTRAL, _LLAMA)
_ARGUMENTS = re.compile(r"\s*([\w.-]+)\s*\[ARGS\]\s*")
_BETWEEN = re.compile(r"[\s;,]*")
_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the answer asks for; `arguments` is JSON text."""

    name: str
    arguments: str
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")


def call_schema(functions: Sequence[FunctionDefinition]) -> dict[str, Any]:
    """The JSON schema of a call of one of `functions`. Raises Refused if their definitions clash."""
    definitions: dict[str, Any] = {}
    calls: list[dict[str, Any]] = []
    for function in functions:
        parameters = dict(function.parameters or {"type": "object", "properties": {}})
        # References in a schema count from its root, which is no longer the parameters.
        for name, schema in parameters.pop("$defs", {}).items():
            if definitions.setdefault(name, schema) != schema:
                raise Refused(
                    f"two tools define '#/$defs/{name}' differently; rename one of them",
                    param="tools",
                    code="invalid_value",
                )
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"type": "string", "enum": [function.name]}, "arguments": parameters},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return schema | ({"$defs": definitions} if definitions else {})


class CallReader:
    """Reads an answer as it comes: text is passed on at once, what may be a call is kept until the end.

    `demanded`: the answer is one call and nothing else.
    """

    def __init__(self, names: Collection[str], *, demanded: bool = False) -> None:
        self._names = names
        self._demanded = demanded
        self._text = ""
        self._passed = 0

    def take(self, text: str) -> str:
        """The text that can be passed on now."""
        self._text += text
        before, self._passed = self._passed, max(self._passed, self._surely_text())
        return self._text[before : self._passed]

    def end(self) -> tuple[str, list[Call]]:
        """The rest of the text, and the calls."""
        rest, self._passed = self._text[self._passed :], len(self._text)
        text, calls = _read(rest, self._names)
        return (text.strip(), calls) if calls else (rest, [])

    def _surely_text(self) -> int:
        start = self._text.lstrip()
        if self._demanded or not start or start.startswith("{"):
            return 0
        at = [i for mark in _MARKS if (i := self._text.find(mark)) >= 0]
        if at:
            return min(at)
        return len(self._text) - max(_overlap(self._text, mark) for mark in _MARKS)


def _read(text: str, names: Collection[str]) -> tuple[str, list[Call]]:
    """The text around the calls in `text`, and the calls."""
    if _HERMES in text:
        before, *parts = text.split(_HERMES)
        around, calls = [before], list[Call]()
        for part in parts:
            inside, _, after = part.partition("</tool_call>")
            found = list(_calls(inside, names))
            calls += found
            around.append(after if found else _HERMES + part)
        return "".join(around), calls
    before, mark, after = text.partition(_MISTRAL)
    if mark:
        return before, list(_named(after, names) or _calls(after, names))
    before, mark, after = text.partition(_LLAMA)
    return (before, list(_calls(after, names))) if mark else ("", list(_calls(text, names)))


def _calls(text: str, names: Collection[str]) -> Iterator[Call]:
    """The calls in a run of JSON objects; none if there is something else between them."""
    for value in _values(text):
        for entry in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if not isinstance(entry, dict):
                return
            call = cast("dict[str, Any]", entry)
            name, arguments = str(call.get("name")), call.get("arguments", call.get("parameters"))
            if name in names and isinstance(arguments, dict):
                yield Call(name, json.dumps(arguments, ensure_ascii=False))


def _named(text: str, names: Collection[str]) -> list[Call]:
    """Calls as `name[ARGS]{...}`."""
    found: list[Call] = []
    for part in text.split(_MISTRAL):
        head = _ARGUMENTS.match(part)
        arguments = next(_values(part[head.end() :]), None) if head else None
        if head and head[1] in names and isinstance(arguments, dict):
            found.append(Call(head[1], json.dumps(arguments, ensure_ascii=False)))
    return found


def _values(text: str) -> Iterator[Any]:
    at = cast("re.Match[str]", _BETWEEN.match(text)).end()
    while at < len(text):
        try:
            value, at = _decoder.raw_decode(text, at)
        except ValueError:
            return
        yield value
        at = cast("re.Match[str]", _BETWEEN.match(text, at)).end()


def _overlap(text: str, mark: str) -> int:
    """How many characters at the end of `text` may be the start of `mark`."""
    return next((n for n in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:n])), 0)
