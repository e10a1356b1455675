"""The settings: every knob once, with its default, range, unit and one sentence.

The documentation page and `specreason config --explain` are generated from these fields, so the
description of a field is the only place where a knob is explained.
"""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_serializer, field_validator

from specreason.config.endpoint import base_address, for_a_header, shown_address, without_texts
from specreason.config.knobs import Section
from specreason.config.knobs import knob as _knob
from specreason.config.policies import EveryPolicy, default_policies
from specreason.config.scheme import Scheme
from specreason.config.server import ServerSettings
from specreason.extensions import Kind, broken, extensions

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class EngineSettings(Section):
    """Where one model lives: inside this process or behind an OpenAI-compatible endpoint."""

    kind: Annotated[
        str,
        _knob(
            "http: a server at `url`. llama.cpp: weights in this process. auto: http if `url` is set, else "
            "llama.cpp. Installed packages may add more kinds."
        ),
    ] = "auto"
    model: Annotated[
        str,
        _knob(
            "Embedded: a name of `specreason models list` or the path of a GGUF file. "
            "Endpoint: the model's name there; empty takes the only one it serves."
        ),
    ] = ""
    url: Annotated[
        str | None,
        _knob("Base URL of the endpoint, for example http://127.0.0.1:8000/v1; unset means embedded."),
    ] = None

    decode_url: Annotated[
        str | None,
        _knob(
            "Only in [base], beside `url`: the endpoint that serves the same model with token-level "
            "speculation, for the schemes with +decode; `url` itself if that one speculates."
        ),
    ] = None

    @field_validator("url", "decode_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        return None if url is None else base_address(url)

    @field_serializer("url", "decode_url", when_used="json")
    def _without_password(self, url: str | None) -> str | None:
        return None if url is None else shown_address(url)

    dialect: Annotated[
        Literal["auto", "vllm", "sglang", "llama-server", "generic"],
        _knob("Which server answers at `url`; auto asks it."),
    ] = "auto"
    api_key: Annotated[
        SecretStr | None, _knob("Bearer token for the endpoint; best set through the environment.")
    ] = None
    ca_file: Annotated[
        str | None,
        _knob(
            "PEM file with the certificates of a private authority, trusted for this endpoint besides those "
            "of the system (or of the variable SSL_CERT_FILE)."
        ),
    ] = None
    chat_template: Annotated[
        str,
        _knob(
            "auto takes the engine's own template; else `chatml`, or the path of a Jinja file, "
            "tokenizer_config.json or model folder."
        ),
    ] = "auto"
    template_kwargs: Annotated[
        dict[str, Any], _knob("Extra variables for the chat template, for example {enable_thinking = true}.")
    ] = Field(default_factory=dict)
    thinking: Annotated[
        Literal["auto", "on", "off"],
        _knob("Whether the model thinks inside a thinking block; auto looks at its template and tokens."),
    ] = "auto"
    think_open: Annotated[str, _knob("Text that opens the thinking block.")] = "<think>"
    think_close: Annotated[str, _knob("Text that closes the thinking block.")] = "</think>"
    context: Annotated[
        int | None,
        _knob(
            "Context per conversation; unset takes what the engine tells (embedded: 8192).",
            unit="tokens",
            ge=256,
        ),
    ] = None
    parallel: Annotated[
        int, _knob("Embedded only: conversations that keep their own cache.", unit="requests", ge=1, le=64)
    ] = 1
    threads: Annotated[
        int | None, _knob("Embedded only: threads; unset takes the physical cores.", unit="threads", ge=1)
    ] = None
    gpu_layers: Annotated[
        int, _knob("Embedded only: layers put on a GPU; -1 puts all there that fit.", unit="layers", ge=-1)
    ] = -1
    draft_tokens: Annotated[
        int,
        _knob(
            "Embedded only, in [base]: tokens that the small model drafts at a time for the schemes with "
            "+decode.",
            unit="tokens",
            ge=1,
            le=64,
        ),
    ] = 3
    connect_timeout: Annotated[float, _knob("Longest wait for a connection.", unit="seconds", gt=0)] = 5.0
    silence_timeout: Annotated[
        float,
        _knob("Longest silence of the engine, before the first token or between two.", unit="seconds", gt=0),
    ] = 120.0
    attempts: Annotated[
        int,
        _knob(
            "Tries of a call that failed before its first token (no connection, 408, 429, 5xx).",
            unit="attempts",
            ge=1,
            le=20,
        ),
    ] = 3
    extra_body: Annotated[
        dict[str, Any], _knob("Fields added to every completion request, for example {priority = 1}.")
    ] = Field(default_factory=dict)
    headers: Annotated[dict[str, SecretStr], _knob("Headers added to every request.")] = Field(
        default_factory=dict
    )

    @field_validator("api_key")
    @classmethod
    def _goes_into_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        return None if key is None else SecretStr(for_a_header(key.get_secret_value()))

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        fine: dict[str, SecretStr] = {}
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name of a header")
            try:
                fine[name] = SecretStr(for_a_header(value.get_secret_value()))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return fine

    @field_validator("extra_body", "template_kwargs")
    @classmethod
    def _is_json(cls, table: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(table, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError(
                "it must hold what JSON can carry: texts, numbers, switches, lists, tables"
            ) from None
        return table

    @field_serializer("extra_body", "template_kwargs", when_used="json")
    def _without_texts(self, table: dict[str, Any]) -> Any:
        return without_texts(table)

    @property
    def engine_kind(self) -> str:
        """The kind of engine; where `kind` is auto, the one that follows from `url`."""
        return self.kind if self.kind != "auto" else "llama.cpp" if self.url is None else "http"

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What `repr` and `str` tell: no secret."""
        return self.model_dump(mode="json").items()


class ReasoningSettings(Section):
    """The method: who writes, what stands, when thinking ends."""

    scheme: Annotated[
        Scheme,
        _knob(
            "The policy: the rule that decides who writes a step and which drafts are accepted (base and "
            "small let one model write everything). With +decode the base model writes with token-level "
            "speculation."
        ),
    ] = Scheme("specreason")
    speculate: Annotated[
        Literal["always", "auto"],
        _knob(
            "auto measures what drafts and verdicts cost and how drafts fare, and drafts only where it pays; "
            "lookahead, drafts_per_step and on_reject = hedge are then the most that it may use."
        ),
    ] = "always"
    lookahead: Annotated[
        int,
        _knob(
            "The small model drafts up to this many steps ahead of the verdict.", unit="steps", ge=0, le=16
        ),
    ] = 0
    drafts_per_step: Annotated[
        int,
        _knob(
            "Drafts of each step, written side by side; the policy chooses among them (paper: 1). "
            "With lookahead a small model reached by URL runs ahead of each: the square of it at once.",
            unit="drafts",
            ge=1,
            le=16,
        ),
    ] = 1
    schedule: Annotated[
        str,
        _knob(
            "What runs at the same time. auto: `lookahead` where that is above 0, else `sequential`; or the "
            "name of a schedule that another package brings."
        ),
    ] = "auto"
    on_reject: Annotated[
        str,
        _knob(
            "What replaces a rejected draft. rewrite: the base model writes the step (paper). hedge: "
            "the same, started while the draft is written and judged. keep_prefix: the lines and sentences "
            "before the mistake stay, and the base model writes the rest."
        ),
    ] = "rewrite"

    @field_validator("schedule", "on_reject")
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        kind: Kind = "schedules" if info.field_name == "schedule" else "repairs"
        known = [*(["auto"] if kind == "schedules" else []), *extensions(kind)]
        if name not in known:
            raise ValueError(broken(kind).get(name) or f"it must be one of {', '.join(known)}")
        return name

    token_budget: Annotated[
        int,
        _knob(
            "Thinking is closed after this many tokens (paper: 8192); 0 answers at once.", unit="tokens", ge=0
        ),
    ] = 8192
    budget_counts: Annotated[
        Literal["kept", "generated"],
        _knob("Whether discarded drafts count against the budget: kept does not count them, generated does."),
    ] = "kept"
    max_step_tokens: Annotated[
        int, _knob("A step is cut after this many tokens (paper: 512).", unit="tokens", ge=1)
    ] = 512
    step_delimiter: Annotated[str, _knob("A step ends with the token that completes this text.")] = "\n\n"
    end_on_answer: Annotated[
        bool, _knob("A kept step that states the answer (a boxed answer) ends thinking.")
    ] = True
    answer_by: Annotated[Literal["base", "small"], _knob("Who writes the answer after thinking.")] = "base"
    answer_tokens: Annotated[
        int, _knob("Longest answer after thinking; not part of the budget.", unit="tokens", ge=1)
    ] = 1024
    instruction: Annotated[
        str,
        _knob(
            "Added after the problem. auto: asks to reason step by step and to box the answer; "
            "empty adds nothing."
        ),
    ] = "auto"


class SamplingSettings(Section):
    """How tokens are drawn, for drafts, rewrites and answers alike; scores are always greedy."""

    temperature: Annotated[float, _knob("0 is greedy (paper: 0.6).", ge=0, le=2)] = 0.6
    top_p: Annotated[float, _knob("Nucleus (paper: 0.95).", gt=0, le=1)] = 0.95
    top_k: Annotated[
        int | None,
        _knob("Tokens are drawn from the likeliest so many; -1: from all; unset: as the engine does.", ge=-1),
    ] = None
    min_p: Annotated[
        float | None,
        _knob(
            "Least probability of a token, as a share of the likeliest one's; unset: as the engine does.",
            ge=0,
            le=1,
        ),
    ] = None
    seed: Annotated[
        int | None, _knob("Same seed and deterministic engines: same events.", ge=0, lt=2**32)
    ] = None


class Settings(Section):
    """Everything that can be set, in the sections of the TOML file."""

    # Policies import their knobs' class from here, so they are looked for only once settings are made.
    model_config = ConfigDict(defer_build=True)

    pair: Annotated[
        str | None,
        _knob(
            "A named pair of `specreason models list`; fills in the models that base and small leave out, "
            "and the settings that suit it where nothing else sets them (specreason config --pair NAME)."
        ),
    ] = None
    base: Annotated[EngineSettings, Field(description="The base model.")] = Field(
        default_factory=EngineSettings
    )
    small: Annotated[EngineSettings, Field(description="The small model.")] = Field(
        default_factory=EngineSettings
    )
    models: Annotated[
        dict[str, EngineSettings],
        _knob(
            "Further models, which a policy asks and which write nothing, for example a reward model: one "
            "table [models.NAME] for each, with the settings of [base]."
        ),
    ] = Field(default_factory=dict[str, EngineSettings])
    reasoning: Annotated[ReasoningSettings, Field(description="The method.")] = Field(
        default_factory=ReasoningSettings
    )
    policy: Annotated[Section, EveryPolicy(), Field(description="The knobs of each policy.")] = Field(
        default_factory=default_policies
    )
    sampling: Annotated[SamplingSettings, Field(description="How tokens are drawn.")] = Field(
        default_factory=SamplingSettings
    )
    server: Annotated[ServerSettings, Field(description="The HTTP server.")] = Field(
        default_factory=ServerSettings
    )
