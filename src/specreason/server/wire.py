"""The body of POST /v1/chat/completions. Unknown fields, and values that are not supported, are refused."""

from typing import Annotated, Literal

from pydantic import Field

from specreason.server.fields import (
    Lenient,
    NonEmpty,
    NotNegative,
    Object,
    Positive,
    Seed,
    Share,
    Strict,
    TopK,
    Whole,
    neutral,
    no_effect,
)
from specreason.server.messages import InputMessage, ToolDefinition
from specreason.server.neutral import Neutral
from specreason.server.overrides import RequestSettings

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class StreamOptions(Strict):
    """Options of a stream."""

    include_usage: Annotated[
        bool | None, Field(description="Send a last chunk with the usage, without choices.")
    ] = False
    continuous_usage_stats: Annotated[
        bool | None, Field(description="Send the usage so far with every chunk, too.")
    ] = False
    include_obfuscation: Annotated[Literal[False] | None, neutral()] = False


class JsonSchema(Lenient):
    """A JSON schema and its name."""

    name: str | None = None
    schema_: Annotated[Object | None, Field(alias="schema")] = None


class ResponseFormat(Strict):
    """The format of the answer; thinking is free."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(Strict):
    """Structured output as in vLLM; exactly one of the formats is given."""

    json_: Annotated[Object | str | None, Field(alias="json")] = None
    regex: NonEmpty | None = None
    choice: Annotated[list[NonEmpty], Field(min_length=1)] | None = None
    grammar: NonEmpty | None = None
    json_object: bool | None = None
    structural_tag: Annotated[None, neutral()] = None
    disable_fallback: Annotated[bool | None, no_effect()] = None
    disable_any_whitespace: Annotated[Literal[False] | None, neutral()] = None
    disable_additional_properties: Annotated[Literal[False] | None, neutral()] = None
    whitespace_pattern: Annotated[None, neutral()] = None


class NamedFunction(Strict):
    """The name of a function."""

    name: NonEmpty


class NamedTool(Strict):
    """The tool to call."""

    type: Literal["function"]
    function: NamedFunction


class TemplateOptions(Strict):
    """The variables of chat templates that this server supports."""

    enable_thinking: bool | None = None
    thinking: bool | None = None


class ThinkingSwitch(Strict):
    """Thinking on or off, as with Anthropic, DeepSeek, GLM and Kimi."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: NotNegative | None = None


class ReasoningOptions(Strict):
    """Thinking, as with OpenRouter."""

    effort: Effort | None = None
    max_tokens: NotNegative | None = None
    enabled: bool | None = None
    exclude: Annotated[bool | None, Field(description="True: thinking is not sent.")] = None


class ChatRequest(Neutral):
    """The body of POST /v1/chat/completions."""

    model: Annotated[
        str | None, Field(description="One of GET /v1/models; if left out, the pair (`specreason`).")
    ] = None
    messages: Annotated[
        list[InputMessage],
        Field(
            min_length=1,
            description="The last one is a user's, a tool's, or an assistant's to continue.",
        ),
    ]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Annotated[Positive | None, Field(description="Choices; each has its own thinking.")] = 1
    max_completion_tokens: Annotated[
        Positive | None,
        Field(
            description="Thinking and answer together, at most what the server allows; a quarter is reserved "
            "for the answer."
        ),
    ] = None
    max_tokens: Annotated[Positive | None, Field(description="The old name of `max_completion_tokens`.")] = (
        None
    )
    reasoning_effort: Annotated[
        Effort | None, Field(description="A thinking budget by name; `none` answers at once.")
    ] = None
    reasoning: ReasoningOptions | None = None
    thinking: ThinkingSwitch | None = None
    thinking_token_budget: Annotated[
        Annotated[Whole, Field(ge=-1)] | None,
        Field(description="Thinking tokens, 0 for none; -1: the default."),
    ] = None
    chat_template_kwargs: Annotated[
        TemplateOptions | None, Field(description="`enable_thinking` or `thinking`: false answers at once.")
    ] = None
    include_reasoning: Annotated[bool | None, Field(description="False: thinking is not sent.")] = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    top_k: Annotated[
        TopK | None, Field(description="Sample from the likeliest tokens only; -1 or 0: from all.")
    ] = None
    min_p: Annotated[
        Share | None, Field(description="Least probability of a token, as a share of the likeliest one's.")
    ] = None
    seed: Annotated[Seed | None, Field(description="Any number; -1: none.")] = None
    stop: Annotated[
        NonEmpty | list[NonEmpty] | None,
        Field(description="Strings that end the answer; thinking ignores them."),
    ] = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Annotated[
        Object | str | None, Field(description="The old name of `structured_outputs.json`; so the others.")
    ] = None
    guided_regex: NonEmpty | None = None
    guided_choice: Annotated[list[NonEmpty], Field(min_length=1)] | None = None
    guided_grammar: NonEmpty | None = None
    tools: Annotated[list[ToolDefinition] | None, Field(description="Functions that may be called.")] = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: Annotated[bool | None, Field(description="False: at most one call is returned.")] = (
        None
    )
    add_generation_prompt: Annotated[
        bool | None,
        Field(description="True; false if the last message is an assistant's."),
    ] = None
    continue_final_message: Annotated[
        bool | None, Field(description="True: continue the last message, which is an assistant's.")
    ] = None
    user: Annotated[str | None, Field(description="The end user; written to the logs.")] = None
    safety_identifier: Annotated[str | None, Field(description="As `user`.")] = None
    specreason: Annotated[
        RequestSettings | None, Field(description="The method's settings for this request.")
    ] = None
