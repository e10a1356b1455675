"""Fields of OpenAI, vLLM, SGLang and OpenRouter that this server does not support.

Many clients send all fields that they know. Those without effect are accepted as they are; the others only
with the value that changes nothing, so that no request is silently ignored.
Sources: OpenAI's API reference, and the request classes of vLLM's and SGLang's servers.
"""

from typing import Annotated, Literal

from specreason.server.fields import (
    NonEmpty,
    NoTable,
    Nothing,
    Object,
    One,
    Strict,
    Zero,
    neutral,
    no_effect,
)

Off = Annotated[Literal[False] | None, neutral()]
On = Annotated[Literal[True] | None, neutral()]
Unset = Annotated[None, neutral()]
NoList = Annotated[Nothing | None, neutral()]
NoEntries = Annotated[NoTable | None, neutral()]
IsZero = Annotated[Zero | None, neutral()]
IsOne = Annotated[One | None, neutral()]


class OfNoEffect(Strict):
    """Notes for the client itself, for a store or for a scheduler."""

    metadata: Annotated[Object | None, no_effect()] = None
    store: Annotated[bool | None, no_effect()] = None
    prompt_cache_key: Annotated[str | None, no_effect()] = None
    prompt_cache_retention: Annotated[str | None, no_effect()] = None
    request_id: Annotated[str | None, no_effect()] = None
    cache_salt: Annotated[NonEmpty | None, no_effect()] = None
    ignore_eos: Annotated[bool | None, no_effect()] = None
    skip_special_tokens: Annotated[bool | None, no_effect()] = None
    spaces_between_special_tokens: Annotated[bool | None, no_effect()] = None
    guided_decoding_backend: Annotated[str | None, no_effect()] = None


class Neutral(OfNoEffect):
    """Accepted only with the value that changes nothing."""

    # OpenAI
    functions: NoList = None
    function_call: Annotated[Literal["none", "auto"] | None, neutral()] = None
    logprobs: Off = None
    top_logprobs: Annotated[Literal[0] | None, neutral()] = None
    logit_bias: NoEntries = None
    presence_penalty: IsZero = None
    frequency_penalty: IsZero = None
    prediction: Unset = None
    web_search_options: Unset = None
    audio: Unset = None
    modalities: Annotated[list[Literal["text"]] | None, neutral()] = None
    service_tier: Annotated[Literal["auto", "default"] | None, neutral()] = None
    verbosity: Annotated[Literal["medium"] | None, neutral()] = None
    # vLLM
    best_of: IsOne = None
    use_beam_search: Off = None
    length_penalty: IsOne = None
    repetition_penalty: IsOne = None
    min_tokens: IsZero = None
    stop_token_ids: NoList = None
    bad_words: NoList = None
    allowed_token_ids: NoList = None
    include_stop_str_in_output: Off = None
    prompt_logprobs: Unset = None
    truncate_prompt_tokens: Unset = None
    echo: Off = None
    add_special_tokens: Off = None
    documents: NoList = None
    chat_template: Unset = None
    mm_processor_kwargs: NoEntries = None
    media_io_kwargs: NoEntries = None
    priority: IsZero = None
    logits_processors: NoList = None
    return_tokens_as_token_ids: Off = None
    return_token_ids: Off = None
    kv_transfer_params: NoEntries = None
    vllm_xargs: NoEntries = None
    # SGLang
    separate_reasoning: On = None
    stream_reasoning: On = None
    no_stop_trim: Off = None
    return_hidden_states: Off = None
    lora_path: Unset = None
    session_params: NoEntries = None
    custom_logit_processor: Unset = None
