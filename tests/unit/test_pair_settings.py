"""What a pair says of itself stands wherever the user said nothing."""

from dataclasses import replace

import pytest

from specreason.config import ReasoningSettings, Settings, load_settings
from specreason.errors import ModelFileError
from specreason.models import cache, catalogue, download
from specreason.models.pair_settings import fitted, resolve
from specreason.reasoning.policies.specreason import knobs_in

NAME = "suited"


@pytest.fixture(autouse=True)
def suited(monkeypatch: pytest.MonkeyPatch) -> None:
    known = catalogue.PAIRS[catalogue.EMBEDDED_PAIR]
    says = {
        "policy.specreason.threshold": 5.0,
        "policy.specreason.judge_method": "expected",
        "reasoning.token_budget": 640,
        "base.threads": 1,
    }
    monkeypatch.setitem(catalogue.PAIRS, NAME, replace(known, name=NAME, settings=says))


def knobs(settings: Settings) -> tuple[float, str]:
    found = knobs_in(settings)
    return found.threshold, found.judge_method


def test_a_pair_fills_in_what_suits_it() -> None:
    settings = resolve(Settings(pair=NAME))
    assert knobs(settings) == (5.0, "expected")
    assert (settings.base.threads, settings.small.threads) == (1, None)


def test_what_the_user_says_goes_before_the_pair() -> None:
    flags = {"pair": NAME, "policy.specreason.threshold": 7.0, "base.threads": 2}
    settings = resolve(load_settings(flags=flags, env={}))
    assert knobs(settings) == (7.0, "expected")
    assert settings.base.threads == 2


def test_the_settings_of_one_call_are_filled_in_too() -> None:
    found = fitted(NAME, "reasoning", ReasoningSettings(lookahead=2))
    assert (found.lookahead, found.token_budget) == (2, 640)


def test_without_a_pair_nothing_is_filled_in() -> None:
    assert fitted(None, "reasoning", ReasoningSettings()) == ReasoningSettings()


def test_weights_of_the_package_are_not_fetched() -> None:
    shipped = replace(next(iter(catalogue.WEIGHTS.values())), sources=(), shipped=True, file="no-such.gguf")
    assert cache.folder() not in cache.path_of(shipped).parents
    with pytest.raises(ModelFileError, match="install it again"):
        download.pull(shipped)
