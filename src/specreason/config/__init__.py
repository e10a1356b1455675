"""Typed settings: one TOML file, then the environment, then flags."""

from specreason.config.load import load_settings
from specreason.config.scheme import Scheme
from specreason.config.server import ServerSettings
from specreason.config.settings import (
    EngineSettings,
    ReasoningSettings,
    SamplingSettings,
    Settings,
)

__all__ = [
    "EngineSettings",
    "ReasoningSettings",
    "SamplingSettings",
    "Scheme",
    "ServerSettings",
    "Settings",
    "load_settings",
]
