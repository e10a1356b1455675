"""The engines that the settings describe: connected, or loaded into this process."""

import asyncio

from specreason.config import EngineSettings, Settings
from specreason.engines import embedded
from specreason.engines.connect import connect
from specreason.engines.protocol import Engine
from specreason.errors import ConfigError
from specreason.models import cache, gguf


async def open_engine(name: str, settings: EngineSettings, streams: int = 1) -> Engine:
    """The engine that a section of the settings describes.

    `streams`: how many places of one conversation it is to keep in its cache.
    """
    if settings.url is not None:
        return await connect(name, settings)
    if not settings.model:
        raise ConfigError(
            f"the {name} model is not set: set '{name}.url' (an endpoint) or '{name}.model' (weights in this "
            "process; specreason models list)"
        )
    weights = cache.require(settings.model)
    return await embedded.load(name, weights, settings.model, _with_room(settings, streams))


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
            f"for the base model: 'base.model' is '{base.model}' ({vocabularies[0].described}), "
            f"'small.model' is '{small.model}' ({vocabularies[1].described}); take two models of one family, "
            "or a scheme without +decode, which shares text only"
        )
    return await embedded.load("base", weights, base.model, _with_room(base, streams), drafter)


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
