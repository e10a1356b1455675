"""The settings of `specreason serve`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from specreason.config.knobs import Section, knob


class ServerSettings(Section):
    """The HTTP server: where it listens, who may ask, how much at once, how long."""

    host: Annotated[
        str, knob("Address to listen on. Any but a loopback address needs keys, or `allow_anonymous`.")
    ] = "127.0.0.1"
    port: Annotated[int, knob("Port to listen on; 0 takes a free one.", ge=0, le=65535)] = 8080
    api_keys: Annotated[
        list[SecretStr], knob("Keys that clients may use; best set through the environment. None: no check.")
    ] = Field(default_factory=list[SecretStr])

    @field_validator("api_keys", "cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        # In the environment one key, or some with commas between, needs no brackets.
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    api_keys_file: Annotated[
        Path | None, knob("File of further keys, one a line; lines that start with # are comments.")
    ] = None
    allow_anonymous: Annotated[
        bool, knob("Listen beyond loopback without any key, because something in front checks callers.")
    ] = False
    cors_origins: Annotated[
        list[str], knob("Web origins whose pages may call the API, for example http://localhost:3000.")
    ] = Field(default_factory=list[str])
    allowed_hosts: Annotated[
        list[str],
        knob(
            "Further names under which clients may reach the server (header Host), for example "
            "host.docker.internal; * allows any. Unset, names are checked on a loopback address without keys."
        ),
    ] = Field(default_factory=list[str])
    concurrency: Annotated[
        int | None,
        knob(
            "Problems solved at once; unset takes `parallel` of the embedded models, 64 where there is none.",
            unit="problems",
            ge=1,
        ),
    ] = None
    queue: Annotated[
        int,
        knob(
            "Problems that may wait for their turn, each choice of a request counted; what finds no place is "
            "answered 429.",
            unit="problems",
            ge=0,
        ),
    ] = 64
    queue_timeout: Annotated[
        float, knob("Longest wait for a turn; after it the answer is 429.", unit="seconds", gt=0)
    ] = 120.0
    per_key: Annotated[
        int | None,
        knob("Requests of one key that may run or wait at once; unset: no limit.", unit="requests", ge=1),
    ] = None
    max_request_bytes: Annotated[int, knob("Largest request body.", unit="bytes", ge=1024)] = 4_194_304
    max_tokens: Annotated[
        int,
        knob(
            "Most thinking and answer tokens of one request, whatever it asks for.",
            unit="tokens",
            ge=1,
        ),
    ] = 32_768
    max_choices: Annotated[int, knob("Largest `n` of a request.", unit="choices", ge=1, le=128)] = 128
    reasoning_field: Annotated[
        Literal["reasoning", "reasoning_content", "both"],
        knob(
            "Where replies tell the thinking. `reasoning` is vLLM's name, `reasoning_content` DeepSeek's, "
            "SGLang's and llama-server's; with both, clients that read both show it twice."
        ),
    ] = "reasoning"
    effort_minimal: Annotated[
        int, knob("Thinking tokens of reasoning_effort minimal.", unit="tokens", ge=1)
    ] = 256
    effort_low: Annotated[int, knob("Thinking tokens of reasoning_effort low.", unit="tokens", ge=1)] = 1024
    effort_medium: Annotated[
        int, knob("Thinking tokens of reasoning_effort medium.", unit="tokens", ge=1)
    ] = 4096
    effort_high: Annotated[int, knob("Thinking tokens of reasoning_effort high.", unit="tokens", ge=1)] = (
        16_384
    )
    effort_xhigh: Annotated[int, knob("Thinking tokens of reasoning_effort xhigh.", unit="tokens", ge=1)] = (
        32_768
    )
    request_timeout: Annotated[
        float, knob("Longest time from the turn's start to the last token.", unit="seconds", gt=0)
    ] = 1800.0
    resume_within: Annotated[
        float,
        knob(
            "How long a request waits for a base model that is away, each time; back in time, it goes on "
            "after the last kept step. 0 does not wait.",
            unit="seconds",
            ge=0,
        ),
    ] = 60.0
    heartbeat: Annotated[
        float, knob("Streams send a comment after this long without news.", unit="seconds", gt=0)
    ] = 10.0
    client_timeout: Annotated[
        float, knob("A client that takes nothing for this long is cut off.", unit="seconds", gt=0)
    ] = 60.0
    body_timeout: Annotated[
        float,
        knob(
            "A request is given up whose head is not there after this long, or whose whole body is not there "
            "this long after it.",
            unit="seconds",
            gt=0,
        ),
    ] = 30.0
    shutdown_deadline: Annotated[
        float, knob("Running requests may finish for this long when the server stops.", unit="seconds", ge=0)
    ] = 30.0
    log_format: Annotated[Literal["console", "json"], knob("Logs go to standard error in this form.")] = (
        "json"
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], knob("Least important line logged.")
    ] = "info"
    log_prompts: Annotated[bool, knob("Log the text of problems and answers.")] = False
