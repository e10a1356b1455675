"""Typed settings: one TOML file, then the environment, then flags."""

from specreason.config.load import load_settings
from specreason.config.server import ServerSettings
from specreason.config.settings import (
    EngineSettings,
    ReasoningSettings,
    SamplingSettings,
    Scheme,
    Settings,
    decodes,
    method_of,
)

__all__ = [
    "EngineSettings",
    "ReasoningSettings",
    "SamplingSettings",
    "Scheme",
    "ServerSettings",
    "Settings",
    "decodes",
    "load_settings",
    "method_of",
]
