"""What clients may send: the OpenAI chat request, and the `specreason` object inside it.

A field that is not here is refused by name (`extra=forbid`), as are values that we cannot honour.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from specreason.config import Scheme

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]

_NEUTRAL = "Only the value that asks for nothing is taken; anything else is refused."


class Strict(BaseModel):
    """An object of a request: unknown fields are errors, so that nothing is ignored in silence.

    Nor is anything guessed: "yes" is no boolean, "5" is no number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def _whole(value: object) -> object:
    # JSON knows one kind of number, and some languages write every one of them with a point.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Positive = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
NotNegative = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1), BeforeValidator(_whole)]
Nothing = Annotated[list[Any], Field(max_length=0)]
NoTable = Annotated[dict[str, Any], Field(max_length=0)]
StopText = Annotated[str, Field(min_length=1)]
Zero = Annotated[float, Field(ge=0, le=0)]


def _neutral() -> Any:
    """A field of OpenAI's that we do not honour: clients that send its neutral value are let in."""
    return Field(description=_NEUTRAL)


class TextPart(Strict):
    """A part of a message."""

    type: Literal["text"]
    text: str


class InputMessage(Strict):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        str | list[TextPart] | None,
        Field(description="Text, or a list of text parts; null only for assistants."),
    ] = None
    reasoning: Annotated[
        str | None, Field(description="Earlier thinking; taken, and not shown to the models.")
    ] = None
    reasoning_content: Annotated[str | None, Field(description="The same under its other name.")] = None
    name: Annotated[None, _neutral()] = None
    refusal: Annotated[None, _neutral()] = None
    tool_calls: Annotated[Nothing | None, _neutral()] = None
    function_call: Annotated[None, _neutral()] = None
    annotations: Annotated[Nothing | None, _neutral()] = None
    audio: Annotated[None, _neutral()] = None


class StreamOptions(Strict):
    """How a stream is told."""

    include_usage: Annotated[
        bool, Field(description="Send a last chunk, without choices, that holds the usage.")
    ] = False
    include_obfuscation: Annotated[Literal[False], _neutral()] = False


class ResponseFormat(Strict):
    """The form of the answer."""

    type: Literal["text"]


class Knobs(Strict):
    """The method's settings for this request; what is left out is as the server's settings say."""

    scheme: Annotated[Scheme | None, Field(description="Only with the model `specreason`.")] = None
    threshold: Annotated[float | None, Field(ge=0, le=9, description="A draft stands at this score.")] = None
    first_n_base_steps: Annotated[NotNegative | None, Field(description="Steps by the base model first.")] = (
        None
    )
    token_budget: Annotated[
        NotNegative | None,
        Field(description="Thinking tokens, 0 for none; not together with `reasoning_effort`."),
    ] = None
    budget_counts: Annotated[
        Literal["kept", "generated"] | None, Field(description="Whether discarded drafts count too.")
    ] = None
    answer_tokens: Annotated[
        Positive | None,
        Field(description="Longest answer; if left out, `max_completion_tokens` bounds it."),
    ] = None
    max_step_tokens: Annotated[Positive | None, Field(description="A step is cut here.")] = None
    end_on_answer: Annotated[
        bool | None, Field(description="A step that states the answer ends thinking.")
    ] = None
    answer_by: Annotated[Literal["base", "small"] | None, Field(description="Who writes the answer.")] = None
    judge: Annotated[
        Literal["greedy", "expected"] | None, Field(description="How the score is read (`judge_method`).")
    ] = None
    judge_prompt: Annotated[
        Literal["auto", "paper", "inline"] | None, Field(description="How the score is asked for.")
    ] = None
    instruction: Annotated[str | None, Field(description="Added after the problem; empty adds nothing.")] = (
        None
    )
    verifier: Annotated[
        Literal["base"] | None, Field(description="Who verifies drafts; the base model is the only one yet.")
    ] = None
    speculate: Annotated[
        Literal["always", "auto"] | None, Field(description="auto drafts only where it pays.")
    ] = None
    lookahead: Annotated[
        int | None, Field(ge=0, le=16, description="Steps that the drafts run ahead of the verdict.")
    ] = None
    drafts_per_step: Annotated[
        int | None, Field(ge=1, le=16, description="Drafts of each step; the best that stands is kept.")
    ] = None
    hedge: Annotated[
        bool | None, Field(description="The base model begins its own step while a draft is judged.")
    ] = None
    salvage: Annotated[
        bool | None, Field(description="The beginning of a rejected draft stays, up to its mistake.")
    ] = None
    include_steps: Annotated[
        bool, Field(description="Tell each step: text, author, score, verdict, timings.")
    ] = False


class ChatRequest(Strict):
    """The body of POST /v1/chat/completions."""

    model: Annotated[str, Field(description="One of GET /v1/models.")]
    messages: Annotated[list[InputMessage], Field(min_length=1, description="They end with the user's turn.")]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Annotated[Positive | None, Field(description="Choices, each thought through on its own.")] = 1
    max_completion_tokens: Annotated[
        Positive | None,
        Field(description="Thinking and answer together; a quarter is kept for the answer."),
    ] = None
    max_tokens: Annotated[Positive | None, Field(description="The old name of `max_completion_tokens`.")] = (
        None
    )
    reasoning_effort: Annotated[
        Effort | None, Field(description="Stands for a thinking budget; `none` answers at once.")
    ] = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    seed: Seed | None = None
    stop: Annotated[
        StopText | Annotated[list[StopText], Field(max_length=4)] | None,
        Field(description="Up to 4 texts that end the answer; thinking pays no regard to them."),
    ] = None
    user: Annotated[str | None, Field(description="Whom the request is for; written to the logs.")] = None
    safety_identifier: Annotated[str | None, Field(description="As `user`.")] = None
    specreason: Annotated[Knobs | None, Field(description="The method's settings for this request.")] = None

    response_format: ResponseFormat | None = None
    tools: Annotated[Nothing | None, _neutral()] = None
    tool_choice: Annotated[Literal["none", "auto"] | None, _neutral()] = None
    parallel_tool_calls: Annotated[
        bool | None, Field(description="Of no effect, since there are no tools.")
    ] = None
    functions: Annotated[Nothing | None, _neutral()] = None
    function_call: Annotated[Literal["none", "auto"] | None, _neutral()] = None
    logprobs: Annotated[Literal[False] | None, _neutral()] = None
    top_logprobs: Annotated[Literal[0] | None, _neutral()] = None
    logit_bias: Annotated[NoTable | None, _neutral()] = None
    presence_penalty: Annotated[Zero | None, _neutral()] = None
    frequency_penalty: Annotated[Zero | None, _neutral()] = None
    metadata: Annotated[NoTable | None, _neutral()] = None
    prompt_cache_key: Annotated[None, _neutral()] = None
    prediction: Annotated[None, _neutral()] = None
    web_search_options: Annotated[None, _neutral()] = None
    audio: Annotated[None, _neutral()] = None
    modalities: Annotated[list[Literal["text"]] | None, _neutral()] = None
    service_tier: Annotated[Literal["auto", "default"] | None, _neutral()] = None
    store: Annotated[Literal[False] | None, _neutral()] = None
    verbosity: Annotated[Literal["medium"] | None, _neutral()] = None


def neutral_fields() -> frozenset[str]:
    """The names of the fields that are refused unless they ask for nothing."""
    return frozenset(
        name
        for model in (ChatRequest, InputMessage, StreamOptions)
        for name, field in model.model_fields.items()
        if field.description == _NEUTRAL
    )
