"""The engines that the settings describe: connected, or loaded into this process."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from specreason.config import EngineSettings, Settings, decodes, method_of
from specreason.engines import embedded
from specreason.engines.connect import connect
from specreason.engines.protocol import Engine
from specreason.errors import ConfigError
from specreason.models import cache, gguf

Seat = Literal["base", "small", "base+decode"]
"""Which engine: a model by its role, or the base model with token-level speculation."""

_ROLES_OF: Mapping[str, tuple[Literal["base", "small"], ...]] = {
    "specreason": ("base", "small"),
    "base": ("base",),
    "small": ("small",),
}
DECODER: Final = "base+decode"


def roles_of(scheme: str) -> tuple[Literal["base", "small"], ...]:
    """The models that a scheme needs."""
    return _ROLES_OF[method_of(scheme)]


def seats_of(schemes: Iterable[str]) -> tuple[Seat, ...]:
    """The engines that any of these schemes needs, each once."""
    return tuple(
        dict.fromkeys(
            DECODER if role == "base" and decodes(scheme) else role
            for scheme in schemes
            for role in roles_of(scheme)
        )
    )


async def open_engine(seat: Seat, settings: EngineSettings, streams: int = 1) -> Engine:
    """The engine that a section of the settings describes.

    `streams`: how many places of one conversation it is to keep in its cache.
    """
    if settings.url is not None:
        return await connect(seat, settings)
    if not settings.model:
        raise ConfigError(
            f"the {seat} model is not set: set '{seat}.url' (an endpoint) or '{seat}.model' (weights in this "
            "process; specreason models list)"
        )
    weights = cache.require(settings.model)
    return await embedded.load(seat, weights, settings.model, _with_room(settings, streams))


async def open_decoder(settings: Settings, streams: int = 1) -> Engine:
    """The base model, speculating token by token: behind `base.decode_url`, or in this process.

    Raises ConfigError where there is no such engine, or the small model cannot draft for the base model.
    """
    base, small = settings.base, settings.small
    if base.decode_url is not None:
        return await connect("base", base.model_copy(update={"url": base.decode_url}))
    if base.url is not None:
        raise ConfigError(
            "a scheme with +decode needs a base model that speculates token by token, and an endpoint does "
            "that only if it was started so: start one (vLLM: --speculative-config) and set "
            "'base.decode_url'; see docs/engines.md (token-level speculation)"
        )
    if small.url is not None or not small.model:
        raise ConfigError(
            "a scheme with +decode lets the small model draft tokens inside the base model's engine; "
            "that one runs in this process, so set 'small.model' to weights, and no 'small.url'"
        )
    weights, drafter = cache.require(base.model), cache.require(small.model)
    vocabularies = [await asyncio.to_thread(gguf.vocabulary, path) for path in (weights, drafter)]
    if not vocabularies[0].same_as(vocabularies[1]):
        raise ConfigError(
            "a scheme with +decode needs models that share a vocabulary, since the small model drafts tokens "
            f"for the base model: 'base.model' is '{base.model}' ({vocabularies[0].described}), 'small.model' "
            f"is '{small.model}' ({vocabularies[1].described}); take two models of one family, or a scheme "
            "without +decode, which shares text only"
        )
    return await embedded.load("base", weights, base.model, _with_room(base, streams), drafter)


def judges(engine: Engine) -> bool:
    """Whether an engine can score: it tells the next token's distribution, and truly."""
    return engine.capabilities.first_token_logprobs > 0


def check_judge(engine: Engine) -> None:
    """Raise ConfigError if `engine` cannot score drafts."""
    if not judges(engine):
        raise ConfigError(
            f"the base model's engine ({engine.model}) tells no log-probabilities of the next token, or "
            "zeros, as some servers do while they speculate; so it cannot score drafts: use another server, "
            "or let 'base.url' name one that does not speculate (specreason doctor)"
        )


def check_same_model(base: Engine, decoder: Engine) -> None:
    """Raise ConfigError if the base model and its speculating twin differ: by name, or in splitting text."""
    known = base.vocabulary and decoder.vocabulary
    if known and base.vocabulary != decoder.vocabulary:
        raise ConfigError(
            f"'base.decode_url' serves {decoder.model} (vocabulary {decoder.vocabulary}), 'base.url' "
            f"{base.model} (vocabulary {base.vocabulary}); both must serve the same model"
        )
    if base.model != decoder.model:
        raise ConfigError(
            f"'base.decode_url' serves {decoder.model}, 'base.url' {base.model}; both must serve the same "
            "model, under the same name (vLLM: --served-model-name, llama-server: --alias)"
        )


def _with_room(settings: EngineSettings, streams: int) -> EngineSettings:
    return settings.model_copy(update={"parallel": settings.parallel * streams})
