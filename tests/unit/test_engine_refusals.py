"""Errors as servers word them: what is said, what it means, whether the prompt was too long."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.engines.refusals import is_error, is_overflow, parsed, sentence, status_of

# In the words of vLLM, SGLang, llama-server, TGI, LiteLLM, OpenAI, Anthropic, Ollama, LM Studio and others.
TOO_LONG = [
    "This model's maximum context length is 512 tokens. However, you requested 700 tokens.",
    "The decoder prompt (length 700) is longer than the maximum model length of 512.",
    "You passed 700 input tokens, but the model's context length is only 512 tokens.",
    "max_tokens must be at least 1, got 0.",
    "max_tokens must be at least 1, got -5.",
    "The input (700 tokens) is longer than the model's context length (512 tokens).",
    "Requested token count exceeds the model's maximum context length of 512 tokens.",
    "Input length (700 tokens) exceeds the maximum allowed length (512 tokens).",
    "the request exceeds the available context size, try increasing it",
    "request (700 tokens) exceeds the available context size (512 tokens)",
    "Input validation error: `inputs` must have less than 512 tokens. Given: 700",
    "`inputs` tokens + `max_new_tokens` must be <= 512. Given: 700 `inputs` tokens and 8 `max_new_tokens`",
    "litellm.ContextWindowExceededError: litellm.BadRequestError: no details",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "Input tokens exceed the configured limit of 512 tokens. Your messages resulted in 700 tokens.",
    "prompt is too long: 700 tokens > 512 maximum",
    "input length and `max_tokens` exceed context limit: 700 + 8 > 512",
    "the input length exceeds the context length",
    "Requested tokens (700) exceed context window of 512",
    "Prompt length (700) exceeds maximum input length (512).",
    "Prompt contains 700 tokens, too large for model with 512 maximum context length",
    "Trying to keep the first 700 tokens when context the overflows.",
    "The input token count (700) exceeds the maximum number of tokens allowed (512).",
    "Input is too long for requested model.",
]
OTHER = [
    "Rate limit reached: input tokens per minute exceed 30000",
    "You exceeded your current quota, please check your plan.",
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
    "Requested sample logprobs of 20, which is greater than max allowed: 5",
    "logprobs are not supported; remove them from the request",
    "prompt must not be empty",
    "Input should be less than or equal to 5",
    "Invalid 'user': string too long. Expected a string with maximum length 64 (string_above_max_length)",
    "EngineCore encountered an issue",
    "CUDA out of memory while processing the input",
    "model not found",
    "request timed out: the prompt took longer than 60 s",
    "the payload exceeds 1 MB",
]
SHAPES: list[Any] = [
    "{}",
    {"error": "{}"},
    {"error": {"message": "{}"}},
    {"error": {"message": "{}", "type": "BadRequestError", "code": None}},
    {"error": {"error": {"message": "{}"}}},
    {"object": "error", "message": "{}", "code": 40303},
    {"detail": "{}"},
    {"detail": {"error": {"message": "{}"}}},
    {"detail": {"message": "{}"}},
    {"detail": [{"loc": ["body", "prompt"], "msg": "{}", "type": "value_error"}]},
    {"errors": [{"message": "{}"}]},
    {"message": "{}"},
    {"error": True, "message": "{}"},
    {"error": {"code": 3, "message": "{}", "status": "INVALID_ARGUMENT"}},
    [{"error": {"message": "{}"}}],
]


def shaped(shape: Any, message: str) -> Any:
    return json.loads(json.dumps(shape).replace('"{}"', json.dumps(message)))


@pytest.mark.parametrize("message", TOO_LONG)
def test_a_prompt_that_is_too_long_is_known_by_its_words(message: str) -> None:
    assert all(is_overflow(shaped(shape, message)) for shape in SHAPES)
    assert is_overflow(message.upper())


@pytest.mark.parametrize("message", OTHER)
def test_other_limits_are_not_taken_for_it(message: str) -> None:
    assert not any(is_overflow(shaped(shape, message)) for shape in SHAPES)


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "no", "code": "context_length_exceeded"}},
        {"error": {"message": "no", "type": "exceed_context_size_error", "code": 400}},
        {"error": {"message": "no", "type": "ContextWindowExceededError"}},
        {"detail": {"message": "no", "code": "context_window_exceeded"}},
    ],
)
def test_a_prompt_that_is_too_long_is_known_by_its_code(error: Any) -> None:
    assert is_overflow(error)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sentence_is_found_in_any_shape(shape: Any) -> None:
    assert sentence(shaped(shape, "worker  died")).removeprefix("body.prompt: ") == "worker died"


def test_what_has_no_sentence_is_told_as_it_is() -> None:
    assert sentence({"oops": 1}) == '{"oops": 1}'
    assert sentence("") == sentence(None) == sentence([]) == "no reason given"
    assert sentence(parsed("{" * 100_000)).startswith("{{{")
    assert len(sentence("x" * 1000)) == 300


def test_a_web_page_is_its_title() -> None:
    page = "<html><head><title>502 Bad\nGateway</title><style>b{}</style></head><h1>Oops</h1></html>"
    assert sentence(page) == "a web page, '502 Bad Gateway'"
    assert (
        sentence("<!DOCTYPE html><script>var a;</script><p>Sorry, <b>down</b></p>")
        == "a web page, 'Sorry, down'"
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"error": {"code": 400}}, 400),
        ({"error": {"code": "429"}}, 429),
        ({"error": {"code": 503.0}}, 503),
        ({"error": {"status": 404, "code": None}}, 404),
        ({"object": "error", "code": 40303, "type": "BadRequestError"}, 400),
        ({"error": {"code": 3, "status": "INVALID_ARGUMENT"}}, 400),
        ({"error": {"code": None, "type": "invalid_request_error"}}, 400),
        ({"error": {"type": "NotFoundError"}}, 404),
        ({"error": {"code": "invalid_api_key"}}, 401),
        ({"error": {"code": "rate_limit_exceeded"}}, 429),
        ({"error": {"code": "server_error"}}, 500),
        ({"error": {"type": "InternalServerError"}}, 500),
        ({"error": "busy", "error_type": "overloaded"}, 503),
        ({"detail": {"error": {"code": 400}}}, 400),
        ({"error": "worker died"}, None),
        ("worker died", None),
        ({"error": {"code": True}}, None),
    ],
)
def test_the_status_is_told_by_a_number_or_a_word(error: Any, status: int | None) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize(
    "chunk", [{"error": None}, {"error": {}}, {"error": ""}, {"error": {"message": None}}, {}]
)
def test_an_empty_error_is_none(chunk: Any) -> None:
    assert not is_error({"choices": [], **chunk})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["error", "detail", "code", "loc"]), inner)
    ),
)


@given(JSON)
def test_any_error_can_be_told(error: Any) -> None:
    assert sentence(error)
    status_of(error)
    is_overflow(error)
