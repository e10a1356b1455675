"""The engines that the settings describe: connected, or loaded into this process."""

from specreason.config import EngineSettings, Settings
from specreason.engines.kinds import kind_of
from specreason.engines.protocol import Engine
from specreason.errors import ConfigError


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
