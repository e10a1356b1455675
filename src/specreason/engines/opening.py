"""The engines that schemes need and settings describe: connected, or loaded into this process."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from specreason.config import EngineSettings, Settings, decodes, method_of
from specreason.engines.kinds import kind_of
from specreason.engines.protocol import Engine
from specreason.errors import ConfigError

EngineName = Literal["base", "small", "base+decode"]
"""A model by its role, or the base model with token-level speculation."""

_ROLES_OF: Mapping[str, tuple[Literal["base", "small"], ...]] = {
    "specreason": ("base", "small"),
    "base": ("base",),
    "small": ("small",),
}
DECODER: Final = "base+decode"


def roles_of(scheme: str) -> tuple[Literal["base", "small"], ...]:
    """The models that a scheme needs."""
    return _ROLES_OF[method_of(scheme)]


def engines_of(schemes: Iterable[str]) -> tuple[EngineName, ...]:
    """The engines that any of these schemes needs, each once."""
    return tuple(
        dict.fromkeys(
            DECODER if role == "base" and decodes(scheme) else role
            for scheme in schemes
            for role in roles_of(scheme)
        )
    )


async def open_engine(name: str, settings: EngineSettings, streams: int = 1) -> Engine:
    """The engine that section `name` of the settings describes.

    `streams`: how many places of one conversation it is to keep in its cache. Raises ConfigError for settings
    that describe none, EngineError if it cannot be had.
    """
    return await kind_of(name, settings).open(name, settings, streams)


async def open_decoder(settings: Settings, streams: int = 1) -> Engine:
    """The base model, speculating token by token: behind `base.decode_url`, or in this process.

    Raises ConfigError where there is no such engine, or the small model cannot draft for the base model.
    """
    kind = kind_of("base", settings.base)
    if kind.open_decoder is None:
        raise ConfigError(
            "a scheme with +decode needs a base model that speculates token by token, which engines of the "
            f"kind '{kind.name}' cannot do; choose a scheme without +decode, or another 'base.kind'"
        )
    return await kind.open_decoder(settings, streams)


def judges(engine: Engine) -> bool:
    """Whether an engine can score: it gives true log-probabilities of the next token."""
    return engine.capabilities.first_token_logprobs > 0


def check_judge(engine: Engine) -> None:
    """Raise ConfigError if `engine` cannot score drafts."""
    if not judges(engine):
        raise ConfigError(
            f"the base model's engine ({engine.model}) gives no log-probabilities of the next token, or "
            "only zeros, as some servers do while they speculate, so it cannot score drafts. Use another "
            "server, or set 'base.url' to one that does not speculate (see: specreason doctor)"
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
