"""Typed settings: one TOML file, then the environment, then flags."""

from specreason.config.load import load_settings
from specreason.config.settings import (
    EngineSettings,
    ReasoningSettings,
    SamplingSettings,
    Scheme,
    Settings,
)

__all__ = [
    "EngineSettings",
    "ReasoningSettings",
    "SamplingSettings",
    "Scheme",
    "Settings",
    "load_settings",
]
