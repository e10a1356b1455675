"""What jinja makes of a conversation, set up as transformers sets it up, and by nothing of ours."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """The tag that marks an assistant's text, as a call that gives back what it was given."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """One call around what stands between the tags."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("given"), [], [], body).set_lineno(line)

    def given(self, caller: Any) -> str:
        """The text itself."""
        return caller()


def rendered(
    source: str, messages: Sequence[Mapping[str, Any]], tokens: Mapping[str, str], **variables: Any
) -> str:
    """The conversation, with the assistant's turn opened."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )

    def refuse(said: str) -> None:
        raise TemplateError(said)

    def as_json(value: object, **_: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    def today(_: str) -> str:
        return "2026-11-28"

    environment.filters["tojson"] = as_json
    variables |= {"raise_exception": refuse, "strftime_now": today}
    return environment.from_string(source).render(
        messages=messages, tools=None, documents=None, add_generation_prompt=True, **tokens, **variables
    )
