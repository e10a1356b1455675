"""Where a model lives is a row in a table, and other packages may bring rows of their own."""

import sys
from collections.abc import Generator
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from specreason import SpecReason
from specreason.config import EngineSettings, ReasoningSettings, Settings
from specreason.engines import kinds
from specreason.engines.kinds import EngineKind, in_process, kind_of
from specreason.engines.opening import open_decoder, open_engine
from specreason.engines.scripted import ScriptedEngine
from specreason.errors import ConfigError
from specreason.models.pair_settings import resolve

STEPS = ["Two and two is 4.\n\n", "So \\boxed{4}.\n\n"]
FOREIGN = EngineSettings(kind="parrot")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Generator[list[ScriptedEngine]]:
    """A package is installed that brings the kind "parrot", and one that is broken; the engines it made."""
    engines: list[ScriptedEngine] = []

    async def open_parrot(name: str, settings: EngineSettings, streams: int) -> ScriptedEngine:
        engines.append(ScriptedEngine(name, steps=STEPS, answer="It is 4.", context_length=1000 + streams))
        return engines[-1]

    package = ModuleType("parrots")
    package.__dict__["KIND"] = EngineKind("parrot", open_parrot, in_process=True)
    package.__dict__["NOTHING"] = object()
    monkeypatch.setitem(sys.modules, "parrots", package)
    values = {"parrot": "parrots:KIND", "gone": "no_such_package:KIND", "odd": "parrots:NOTHING"}
    installed = [EntryPoint(name, value, "specreason.engines") for name, value in values.items()]

    def installed_for(*, group: str) -> list[EntryPoint]:
        return [entry for entry in installed if entry.group == group]

    monkeypatch.setattr(kinds, "entry_points", installed_for)
    kinds._further.cache_clear()  # pyright: ignore[reportPrivateUsage]
    yield engines
    kinds._further.cache_clear()  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("settings", "kind", "here"),
    [
        (EngineSettings(), "llama.cpp", True),
        (EngineSettings(url="http://127.0.0.1:9/v1"), "http", False),
        (EngineSettings(kind="llama.cpp", url="http://127.0.0.1:9/v1"), "llama.cpp", True),
    ],
)
def test_the_kind_follows_from_the_url_unless_it_is_set(
    settings: EngineSettings, kind: str, here: bool
) -> None:
    assert kind_of("base", settings).name == kind
    assert in_process("base", settings) is here


async def test_an_engine_of_a_foreign_package_solves(opened: list[ScriptedEngine]) -> None:
    settings = Settings(base=FOREIGN, small=FOREIGN, reasoning=ReasoningSettings(on_reject="hedge"))
    async with SpecReason(settings) as pair:
        result = await pair.solve("What is 2 + 2?")
    assert result.answer == "4"
    assert [(engine.name, engine.context_length) for engine in opened] == [("base", 1002), ("small", 1001)]
    assert all(engine.calls and engine.closed for engine in opened)


def test_a_foreign_engine_needs_no_model_of_ours(opened: list[ScriptedEngine]) -> None:
    settings = Settings(base=FOREIGN, small=FOREIGN)
    assert resolve(settings) == settings
    assert in_process("base", FOREIGN)


@pytest.mark.parametrize(("kind", "hint"), [("parot", "did you mean 'parrot'"), ("vllm", "Known: auto")])
async def test_an_unknown_kind_is_refused_with_the_known_ones(
    opened: list[ScriptedEngine], kind: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=r"'small\.kind'.*llama\.cpp, parrot") as caught:
        await open_engine("small", EngineSettings(kind=kind))
    assert hint in str(caught.value)


@pytest.mark.parametrize(("kind", "why"), [("gone", "no_such_package"), ("odd", "no EngineKind")])
def test_a_package_that_brings_no_kind_is_named(opened: list[ScriptedEngine], kind: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"'{kind}'.*{why}"):
        kind_of("base", EngineSettings(kind=kind))


async def test_a_kind_without_token_level_speculation_refuses_decode(opened: list[ScriptedEngine]) -> None:
    with pytest.raises(ConfigError, match=r"\+decode.*'parrot'"):
        await open_decoder(Settings(base=FOREIGN, small=FOREIGN))
    assert opened == []


async def test_a_server_without_a_url_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'base\.url'"):
        await open_engine("base", EngineSettings(kind="http"))
