"""What a session was: versions, machine, engines, and how these shared the machine."""

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from specreason.config import Settings
from specreason.config.endpoint import shown_address
from specreason.engines.kinds import in_process
from specreason.engines.llama_cpp import DEFAULT_CONTEXT, physical_cores
from specreason.session import SpecReason

_PACKAGES = ("specreason", "xllamacpp", "math-verify", "sympy", "numpy", "datasets")


def session_facts(pair: SpecReason) -> dict[str, Any]:
    """For the store: one entry for every process that worked on a study."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "machine": machine(),
        "engines": engine_facts(pair),
        "sharing": sharing(pair.settings),
        "settings": pair.settings.model_dump(mode="json", include={"pair", "base", "small"}),
    }


def engine_facts(pair: SpecReason) -> Mapping[str, Mapping[str, object]]:
    """What each connected engine is, and what it was seen to be able to do."""
    return {
        role: {
            "model": engine.model,
            "context_length": engine.context_length,
            "vocabulary": engine.vocabulary,
            "capabilities": {
                name: getattr(engine.capabilities, name) for name in engine.capabilities.__dataclass_fields__
            },
        }
        for role, engine in pair.pair.named.items()
    }


def sharing(settings: Settings) -> str:
    """How the two models share the machine, as far as it can be known from here."""
    found: list[str] = []
    for name, section in (("base", settings.base), ("small", settings.small)):
        if not in_process(name, section):
            where = shown_address(section.url) if section.url else section.engine_kind
            found.append(f"{name}: behind {where}")
        else:
            threads = section.threads or physical_cores()
            context = section.context or DEFAULT_CONTEXT
            found.append(
                f"{name}: in this process, threads: {threads}, {section.parallel} x {context} tokens"
            )
    return "; ".join(found)


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, memory, operating system."""
    return {
        "processor": _processor(),
        "cores": physical_cores(),
        "memory_gb": _memory_gb(),
        "system": platform.platform(terse=True),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
