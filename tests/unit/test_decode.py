"""Schemes with +decode: the base model writes through the engine that speculates token by token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from specreason.config import EngineSettings, ReasoningSettings, Scheme, Settings, load_settings
from specreason.config.scheme import Role
from specreason.engines.names import engines_of
from specreason.engines.opening import check_same_model, open_decoder
from specreason.engines.protocol import Capabilities
from specreason.engines.scripted import ScriptedEngine
from specreason.errors import ConfigError
from specreason.models.pair_settings import resolve
from specreason.reasoning.events import CallEnded
from specreason.reasoning.result import Result, Tokens, fold
from specreason.session import SpecReason

SMALL = ("Two and two is 4.\n\n", "Twice that is 9.\n\n", "That is all.\n</think>")
BASE = ("Base adds to 4.\n\n", "Twice that is 8.\n\n", "Base is done.\n</think>")


@dataclass(slots=True)
class Silent(ScriptedEngine):
    """Tells no log-probabilities."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(True, True, True, True, 0, True, True)


def base(kind: type[ScriptedEngine] = ScriptedEngine, **script: Any) -> ScriptedEngine:
    return kind("base", steps=BASE, answer="It is \\boxed{8}.", scores={"is 9": "2"}, **script)


def small() -> ScriptedEngine:
    return ScriptedEngine("small", steps=SMALL, answer="It is \\boxed{9}.")


async def solved(
    scheme: str, engines: Mapping[Role, ScriptedEngine], decoder: ScriptedEngine | None
) -> Result:
    reasoning = ReasoningSettings.model_validate({"scheme": scheme})
    async with SpecReason(Settings(), engines=engines, decoder=decoder) as session:
        return await session.solve("What?", reasoning=reasoning)


def kinds(engine: ScriptedEngine) -> set[str]:
    return {call.kind for call in engine.calls}


def test_the_decoder_is_the_base_model_by_name_too() -> None:
    """Models of one family share a vocabulary: the small one could pass for the base model."""
    check_same_model(base(), base())
    with pytest.raises(ConfigError, match="under the same name"):
        check_same_model(base(), small())


@pytest.mark.parametrize(
    ("schemes", "names"),
    [
        (["base+decode"], ("base+decode",)),
        (["specreason+decode"], ("base+decode", "small")),
        (["specreason", "base+decode"], ("base", "small", "base+decode")),
        (["small", "base", "specreason", "specreason+decode"], ("small", "base", "base+decode")),
    ],
)
def test_each_engine_that_the_schemes_need_is_opened_once(
    schemes: Sequence[str], names: tuple[str, ...]
) -> None:
    assert engines_of(map(Scheme.parse, schemes)) == names


@pytest.mark.parametrize("method", ["base", "specreason"])
async def test_speculation_underneath_changes_the_engine_and_nothing_else(method: str) -> None:
    plain, decoder = base(), base()
    without = await solved(method, {"base": plain, "small": small()}, decoder)
    assert not decoder.calls
    seen = len(plain.calls)
    with_it = await solved(f"{method}+decode", {"base": plain, "small": small()}, decoder)
    assert len(plain.calls) == seen
    assert (without.scheme, with_it.scheme) == (method, f"{method}+decode")
    assert [(s.author, s.text, s.score) for s in with_it.steps] == [
        (s.author, s.text, s.score) for s in without.steps
    ]
    assert with_it.answer == without.answer == "8"


async def test_the_decoder_judges_what_it_will_write_on() -> None:
    decoder = base()
    result = await solved("specreason+decode", {"small": small()}, decoder)
    assert [step.author for step in result.steps] == ["small", "base", "small"]
    assert kinds(decoder) == {"score", "generate"}


async def test_where_the_decoder_cannot_judge_the_plain_base_model_does() -> None:
    plain, decoder = base(), base(Silent)
    result = await solved("specreason+decode", {"base": plain, "small": small()}, decoder)
    assert [step.author for step in result.steps] == ["small", "base", "small"]
    assert (kinds(plain), kinds(decoder)) == ({"score"}, {"generate"})


async def test_nobody_who_can_judge_is_an_error_that_says_why() -> None:
    with pytest.raises(ConfigError, match="no log-probabilities"):
        await solved("specreason+decode", {"small": small()}, base(Silent))
    with pytest.raises(ConfigError, match=r"'base\.url'"):
        await solved("specreason", {"base": base(Silent), "small": small()}, None)


async def test_without_the_decoder_the_scheme_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"'base\+decode' needs the base\+decode model"):
        await solved("base+decode", {"base": base(), "small": small()}, None)


async def test_an_endpoint_does_not_speculate_by_being_asked() -> None:
    endpoint = EngineSettings(url="http://127.0.0.1:9/v1")
    with pytest.raises(ConfigError, match=r"'base\.decode_url'"):
        await open_decoder(Settings(base=endpoint, small=endpoint))


async def test_a_small_model_behind_a_server_cannot_draft_inside_this_process(tmp_path: Path) -> None:
    here = EngineSettings(model=str(tmp_path / "base.gguf"))
    with pytest.raises(ConfigError, match=r"'small\.model'"):
        await open_decoder(Settings(base=here, small=EngineSettings(url="http://127.0.0.1:9/v1")))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            {"small.url": "http://a/v1", "small.decode_url": "http://a/v1"},
            "'small.decode_url' has no effect",
        ),
        ({"base.decode_url": "http://a/v1"}, "'base.decode_url' needs 'base.url'"),
    ],
)
def test_a_decode_url_where_it_means_nothing_is_refused(flags: Mapping[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve(load_settings(flags=flags, env={}))


def test_drafted_tokens_are_added_up() -> None:
    call = CallEnded(0.0, "base", "base", 10, 9, 8, 8, 1.0, None, None, "stop")
    calls = [call, replace(call, token_drafts=6, token_drafts_kept=5), replace(call, token_drafts=3)]
    assert fold(calls).tokens["base"] == Tokens(24, 0, 0, 30, 27, 9, 5)
