"""What a named pair says, filled into the settings."""

from collections.abc import Mapping
from typing import Any, TypeVar

from specreason.config import Settings
from specreason.config.knobs import Section
from specreason.errors import ConfigError
from specreason.models import catalogue

S = TypeVar("S", bound=Section)


def resolve(settings: Settings) -> Settings:
    """The settings with what their pair says filled in; the embedded pair if nothing names a model.

    Raises ConfigError for settings that contradict one another.
    """
    _check_decode_url(settings)
    named = settings.pair
    sections = {"base": settings.base, "small": settings.small}
    if named is None and all(not s.model and s.engine_kind == "llama.cpp" for s in sections.values()):
        named = catalogue.EMBEDDED_PAIR
    if named is None:
        return settings
    pair = catalogue.pair(named)
    filled: dict[str, object] = {"pair": named}
    filled["reasoning"] = fitted(named, "reasoning", settings.reasoning)
    filled["policy"] = fitted(named, "policy", settings.policy)
    for (name, section), model in zip(sections.items(), (pair.base, pair.small), strict=True):
        if section.engine_kind == "llama.cpp" and not pair.embedded and not section.model:
            raise ConfigError(
                f"pair '{named}' runs on a GPU server: start one for {model.name} (for example "
                f"`vllm serve {model.name}`) and set '{name}.url'; see docs/engines.md"
            )
        fits = section if section.model else section.model_copy(update={"model": model.name})
        filled[name] = fitted(named, name, fits)
    return settings.model_copy(update=filled)


def fitted(pair: str | None, name: str, section: S) -> S:
    """A section of the settings with what suits the pair wherever the user said nothing."""
    suits: Mapping[str, Any] = catalogue.pair(pair).settings if pair else {}
    own = {key.removeprefix(f"{name}."): value for key, value in suits.items() if key.startswith(f"{name}.")}
    update = {key: value for key, value in own.items() if key not in section.model_fields_set}
    for inner in dict.fromkeys(key.partition(".")[0] for key in own if "." in key):
        update[inner] = fitted(pair, f"{name}.{inner}", getattr(section, inner))
    return section.model_copy(update={key: value for key, value in update.items() if "." not in key})


def _check_decode_url(settings: Settings) -> None:
    if settings.small.decode_url is not None:
        raise ConfigError(
            "setting 'small.decode_url' has no effect: only the base model writes with token-level "
            "speculation; set 'base.decode_url'"
        )
    if settings.base.decode_url is not None and settings.base.engine_kind != "http":
        raise ConfigError(
            "setting 'base.decode_url' needs 'base.url' too. A base model in this process needs neither: "
            "choose a scheme with +decode"
        )
