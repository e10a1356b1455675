"""The objects of responses: OpenAI's, with the documented `specreason` objects beside them."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from specreason.config.scheme import Role
from specreason.reasoning.events import Ended
from specreason.reasoning.records import Phase, StepRecord

T = TypeVar("T")


def _is_none(value: object) -> bool:
    return value is None


# Left out of the reply if None: strict clients do not expect nulls here.
Maybe = Annotated[T | None, Field(exclude_if=_is_none)]
FinishReason = Literal["stop", "length", "tool_calls"]


class Reply(BaseModel):
    """An object of a response."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ---------------------------------------------------------------- usage


class PromptDetails(Reply):
    """Prompt tokens that the base model had in its cache."""

    cached_tokens: int


class CompletionDetails(Reply):
    """Completion tokens of the kept thinking."""

    reasoning_tokens: int


class ModelTokens(Reply):
    """Tokens of one model in all its calls. `drafted`: generated for drafts, kept or not.

    `prompt` and `cached`: over the calls whose engine reports how much was cached.
    """

    generated: int = 0
    drafted: int = 0
    kept: int = 0
    discarded: int = 0
    scored: int = 0
    prompt: int = 0
    cached: int = 0
    token_drafts: int = 0
    token_drafts_kept: int = 0


class Usage(Reply):
    """Totals count what was kept; `specreason` counts everything, for each model."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    specreason: dict[str, ModelTokens]


# ---------------------------------------------------------------- the extension


class ChoiceReport(Reply):
    """How one choice came about. `degraded`: why the request went on without the small model, else null."""

    index: int
    scheme: str
    models: dict[Role, str]
    ended: Ended | None
    degraded: str | None
    interruptions: int
    answer: Annotated[str | None, Field(description="The stated answer, without the words around it.")]
    drafts: int
    accepted: int
    rejections: dict[str, int]
    acceptance_rate: float | None
    seconds: dict[Phase, float]
    steps: Maybe[list[StepRecord]] = None


class Report(Reply):
    """The `specreason` object of a response. Seconds: in the queue, in our own code, in all."""

    choices: list[ChoiceReport]
    queue_s: float
    overhead_s: float
    total_s: float


# ---------------------------------------------------------------- whole responses


class OutputFunction(Reply):
    """A function and its arguments as JSON text."""

    name: str
    arguments: str


class OutputToolCall(Reply):
    """A call of a tool. `index`: in streams, its number in the message."""

    index: Maybe[int] = None
    id: str
    type: Literal["function"] = "function"
    function: OutputFunction


class OutputMessage(Reply):
    """The assistant message; `server.reasoning_field` says which fields have the thinking."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning: Maybe[str] = None
    reasoning_content: Maybe[str] = None
    tool_calls: Maybe[list[OutputToolCall]] = None


class OutputChoice(Reply):
    """One answer."""

    index: int
    message: OutputMessage
    logprobs: None = None
    finish_reason: FinishReason


class ChatReply(Reply):
    """A response that is not streamed."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[OutputChoice]
    usage: Usage
    specreason: Report


# ---------------------------------------------------------------- streamed responses


class Delta(Reply):
    """What is new in a choice."""

    role: Maybe[Literal["assistant"]] = None
    content: Maybe[str] = None
    reasoning: Maybe[str] = None
    reasoning_content: Maybe[str] = None
    tool_calls: Maybe[list[OutputToolCall]] = None


class ChunkChoice(Reply):
    """What is new in a choice, and why it ended."""

    index: int
    delta: Delta
    logprobs: None = None
    finish_reason: FinishReason | None = None


class ChunkReport(Reply):
    """The `specreason` object of a chunk: the step of its delta, or the report of a choice that has ended."""

    step: Maybe[StepRecord] = None
    choice: Maybe[ChoiceReport] = None
    queue_s: Maybe[float] = None
    overhead_s: Maybe[float] = None
    total_s: Maybe[float] = None
    interrupted: Maybe[str] = None


class Chunk(Reply):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Maybe[Usage] = None
    specreason: Maybe[ChunkReport] = None


# ---------------------------------------------------------------- errors


class ErrorBody(Reply):
    """What went wrong. `param`: the field of the request, if it was one."""

    message: str
    type: str
    param: str | None = None
    code: str


class ErrorReply(Reply):
    """The body of every status from 400 on, and the error event of a stream."""

    error: ErrorBody
