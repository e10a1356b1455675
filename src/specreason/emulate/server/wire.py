"""The requests that an emulated server takes; fields that it does not know are ignored, as vLLM does."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from specreason.emulate.tokens import END, THINK, TURN

Count = Annotated[int, Field(ge=1, le=64)]


class StreamOptions(BaseModel):
    """What a stream tells besides its text."""

    include_usage: bool = False


class Message(BaseModel):
    """One message of a conversation."""

    role: str
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """The content as text; parts that are not text say nothing here."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text") or "") for part in self.content)
        return self.content or ""


class Shared(BaseModel):
    """What both kinds of completion take."""

    model: str | None = None
    n: Count = 1
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    return_token_ids: bool = False
    return_tokens_as_token_ids: bool = False
    logprob_token_ids: Annotated[list[int], Field(max_length=128)] = Field(default_factory=list[int])

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end a choice."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class CompletionRequest(Shared):
    """POST /v1/completions."""

    prompt: str | list[int] | list[str] | list[list[int]]
    max_tokens: Annotated[int, Field(ge=1)] = 16
    logprobs: Annotated[int | None, Field(ge=0, le=20)] = None


class ChatRequest(Shared):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    add_generation_prompt: bool = True
    continue_final_message: bool = False


class TokenizeRequest(BaseModel):
    """POST /tokenize: a text, or a conversation."""

    prompt: str | None = None
    messages: list[Message] | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False


class DetokenizeRequest(BaseModel):
    """POST /detokenize."""

    tokens: list[int]


def rendered(messages: Sequence[Message], *, opened: bool, continued: bool) -> str:
    """The conversation as the emulated models read it: ChatML, the reply's thinking block opened.

    `opened`: the assistant's turn stands open at the end. `continued`: the last message does, as it is.
    """
    text = "".join(f"{TURN}{message.role}\n{message.text}{END}\n" for message in messages)
    if continued:
        return text.removesuffix(f"{END}\n")
    return f"{text}{TURN}assistant\n{THINK}\n" if opened else text
