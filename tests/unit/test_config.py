"""Settings: merged in order, checked, explained."""

from pathlib import Path

import pytest

from specreason.config import Settings, load_settings
from specreason.config.explain import as_markdown, knobs
from specreason.config.load import env_name, setting_keys
from specreason.errors import ConfigError

SECRET = "s3cret-key"


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "specreason.toml"


def error_of(
    file: Path | None = None, flags: dict[str, object] | None = None, env: dict[str, str] | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(file, flags, env or {})
    return str(caught.value)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_nothing_set_gives_the_defaults() -> None:
    assert load_settings(env={}) == Settings()


def test_a_threshold_out_of_range_names_key_value_source_and_limit(toml: Path) -> None:
    toml.write_text("[policy.specreason]\nthreshold = 11\n")
    message = error_of(toml)
    assert (
        f"setting 'policy.specreason.threshold' in {toml} is 11: it must be less than or equal to 9"
        in message
    )
    assert "from --threshold" in error_of(flags={"policy.specreason.threshold": 11})
    assert "from SPECREASON_POLICY__SPECREASON__THRESHOLD" in error_of(
        env={"SPECREASON_POLICY__SPECREASON__THRESHOLD": "11"}
    )


def test_a_wrong_type_says_what_is_wanted(toml: Path) -> None:
    toml.write_text("[reasoning]\ntoken_budget = 'many'\n")
    assert error_of(toml).endswith("is 'many': it must be a whole number")


def test_an_unknown_key_names_the_nearest(toml: Path) -> None:
    toml.write_text("[policy.specreason]\ntreshold = 5\n")
    message = error_of(toml)
    assert f"unknown setting 'policy.specreason.treshold' in {toml}" in message
    assert "did you mean 'policy.specreason.threshold'?" in message


def test_an_unknown_variable_names_the_nearest() -> None:
    message = error_of(env={"SPECREASON_POLICY__SPECREASON__TRESHOLD": "5"})
    assert "unknown environment variable SPECREASON_POLICY__SPECREASON__TRESHOLD" in message
    assert "did you mean 'SPECREASON_POLICY__SPECREASON__THRESHOLD'?" in message


def test_flags_beat_the_environment_and_that_beats_the_file(toml: Path) -> None:
    toml.write_text(
        "reasoning = {token_budget = 10, max_step_tokens = 100}\npolicy.specreason.threshold = 1\n"
    )
    env = {"SPECREASON_POLICY__SPECREASON__THRESHOLD": "2", "SPECREASON_REASONING__TOKEN_BUDGET": "20"}
    found = load_settings(toml, {"policy.specreason.threshold": 3, "reasoning.token_budget": None}, env)
    assert threshold(found) == 3
    assert (found.reasoning.token_budget, found.reasoning.max_step_tokens) == (20, 100)


def threshold(settings: Settings) -> object:
    return settings.model_dump()["policy"]["specreason"]["threshold"]


def test_set_beats_all_and_takes_short_names(toml: Path) -> None:
    toml.write_text("[policy.specreason]\nthreshold = 1\n")
    found = load_settings(toml, env={}, sets=["threshold=4", "reasoning.lookahead=2", "scheme=base"])
    assert (threshold(found), found.reasoning.lookahead, str(found.reasoning.scheme)) == (4, 2, "base")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("threshold", "--set is 'threshold'; write KEY=VALUE"),
        ("treshold=3", "--set: there is no setting 'treshold'; did you mean 'policy.specreason.threshold'?"),
        ("threshold=12", "setting 'policy.specreason.threshold' from --set is 12"),
        ("on_reject=hegde", "setting 'reasoning.on_reject' from --set is 'hegde': it must be one of"),
        ("scheme=spec", "did you mean 'specreason'?"),
    ],
)
def test_what_set_cannot_take_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(env={}, sets=[text])
    assert said in str(refused.value)


def test_a_setting_under_its_old_section_names_the_new_one(toml: Path) -> None:
    toml.write_text("[reasoning]\nthreshold = 5\n")
    assert "did you mean 'policy.specreason.threshold'?" in error_of(toml)


def test_further_models_are_tables_of_their_own(toml: Path) -> None:
    toml.write_text("[models.reward]\nurl = 'http://127.0.0.1:9/v1'\n")
    env = {"SPECREASON_MODELS__REWARD__MODEL": "prm"}
    reward = load_settings(toml, env=env).models["reward"]
    assert (reward.url, reward.model) == ("http://127.0.0.1:9/v1", "prm")
    toml.write_text("[models.reward]\nulr = 'http://127.0.0.1:9/v1'\n")
    assert "models.reward.ulr" in error_of(toml)


def test_the_file_is_found_by_variable_then_in_the_folder(tmp_path: Path, toml: Path) -> None:
    toml.write_text("pair = 'here'\n")
    other = tmp_path / "other.toml"
    other.write_text("pair = 'other'\n")
    assert load_settings(env={}).pair == "here"
    assert load_settings(env={"SPECREASON_CONFIG": str(other)}).pair == "other"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, toml: Path) -> None:
    assert "none.toml" in error_of(tmp_path / "none.toml")
    toml.write_text("not toml")
    assert "is not valid TOML" in error_of(toml)


def test_tables_are_written_inline_in_the_environment() -> None:
    settings = load_settings(env={"SPECREASON_BASE__EXTRA_BODY": "{priority = 1}"})
    assert settings.base.extra_body == {"priority": 1}
    assert "is not a TOML inline table" in error_of(env={"SPECREASON_BASE__EXTRA_BODY": "{priority"})


def test_a_key_is_never_shown() -> None:
    settings = load_settings(
        env={"SPECREASON_BASE__API_KEY": SECRET, "SPECREASON_BASE__HEADERS": f"{{X = '{SECRET}'}}"}
    )
    assert settings.base.api_key is not None
    assert settings.base.api_key.get_secret_value() == SECRET
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        f"api_key = ['{SECRET}']",
        f"headers = '{SECRET}'",
        f"headers = {{Authorization = ['{SECRET}']}}",
        f"api_keys = '{SECRET}'",
        f"api_key = '{SECRET}'\nattempts = 0",
    ],
)
def test_no_error_shows_a_key(toml: Path, text: str) -> None:
    toml.write_text(f"[base]\n{text}\n")
    message = error_of(toml)
    assert "base." in message
    assert SECRET not in message


def test_every_key_is_documented() -> None:
    known = {knob.key: knob for knob in knobs()}
    assert list(known) == list(setting_keys())
    reference = as_markdown()
    for key, knob in known.items():
        assert knob.description.endswith("."), key
        assert knob.type, key
        assert knob.env == env_name(key)
        assert f"| `{key.rpartition('.')[2]}` |" in reference


def test_every_key_can_be_set_by_its_variable() -> None:
    assert env_name("base.url") == "SPECREASON_BASE__URL"
    assert load_settings(env={"SPECREASON_BASE__URL": "http://x/v1"}).base.url == "http://x/v1"


def test_a_section_that_is_no_table_is_an_error(toml: Path) -> None:
    toml.write_text("reasoning = 5\n")
    assert "reasoning" in error_of(toml, {"policy.specreason.threshold": 3})


@pytest.mark.parametrize(
    "url", ["localhost:8000", "127.0.0.1:8000", "ftp://127.0.0.1", "nonsense", "http://"]
)
def test_not_an_address(url: str) -> None:
    with pytest.raises(ConfigError, match=r"'base\.url' .*http://127"):
        load_settings(flags={"base.url": url}, env={})


def test_a_password_in_an_address_is_not_shown() -> None:
    settings = load_settings(flags={"base.url": "http://user:hush@127.0.0.1:9/v1"}, env={})
    assert "hush" not in settings.model_dump_json()
    assert settings.base.url == "http://user:hush@127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("pasted", "taken"),
    [
        ("http://h:1", "http://h:1"),
        ("http://h:1/", "http://h:1"),
        (" http://h:1/v1/\n", "http://h:1/v1"),
        ("\ufeffhttp://h:1/v1\u200b", "http://h:1/v1"),
        ("http://h:1/v1.", "http://h:1/v1"),
        ("HTTPS://h/openai/v1/completions", "https://h/openai/v1"),
        ("http://h/v1/chat/completions/", "http://h/v1"),
        ("http://h/v1/models#top", "http://h/v1"),
        ("https://h/v1/completions?api-version=2", "https://h/v1?api-version=2"),
    ],
)
def test_an_address_is_taken_as_it_is_pasted(pasted: str, taken: str) -> None:
    assert load_settings(flags={"base.url": pasted}, env={}).base.url == taken


@pytest.mark.parametrize(
    "url",
    ["http://me:hush-hush@h/v1", "http://me:hush@hush@h/v1", "http://hush@h/v1", "http://h/v1?key=hush"],
)
def test_no_secret_of_an_address_is_shown(url: str) -> None:
    settings = load_settings(flags={"base.url": url, "base.decode_url": url}, env={})
    assert settings.base.url == url
    assert "hush" not in settings.model_dump_json() + repr(settings) + str(settings.base)
    assert "hush" not in error_of(flags={"base.url": url.replace("http:", "htps:")})


def test_texts_of_tables_are_not_shown() -> None:
    table = "{deep = {key = 'hush', keys = ['hush']}, priority = 1, on = true}"
    env = {"SPECREASON_BASE__EXTRA_BODY": table, "SPECREASON_BASE__TEMPLATE_KWARGS": table}
    settings = load_settings(env=env)
    assert settings.base.extra_body["deep"]["key"] == "hush"
    assert "hush" not in settings.model_dump_json() + repr(settings)
    shown = settings.model_dump(mode="json")["base"]["extra_body"]
    assert shown == {"deep": {"key": "***", "keys": ["***"]}, "priority": 1, "on": True}
    assert "hush" not in error_of(env={"SPECREASON_BASE__EXTRA_BODY": "hush"})


@pytest.mark.parametrize("value", ["nan", "inf", "2026-11-28"])
def test_a_table_that_no_request_can_carry_is_refused(value: str) -> None:
    message = error_of(env={"SPECREASON_BASE__EXTRA_BODY": f"{{a = {{b = {value}}}}}"})
    assert "'base.extra_body'" in message
    assert "what JSON can carry" in message


@pytest.mark.parametrize("value", ["sk-1234\u2026", "sk\u200b-1234", "sk-12\n34", "sk-12\x0034", "clé"])
@pytest.mark.parametrize("key", ["api_key", "headers"])
def test_what_no_header_can_carry_is_named_without_its_value(value: str, key: str) -> None:
    given: object = value if key == "api_key" else {"X-Key": value}
    message = error_of(flags={f"base.{key}": given})
    assert f"'base.{key}'" in message
    assert "which no header can carry" in message
    assert value not in message
    assert value[:4] not in message


def test_white_space_around_a_key_is_left_out() -> None:
    base = load_settings(flags={"base.api_key": " sk-1234\r\n", "base.headers": {"X": "a b\n"}}, env={}).base
    assert base.api_key is not None
    assert base.api_key.get_secret_value() == "sk-1234"
    assert base.headers["X"].get_secret_value() == "a b"
    assert "name of a header" in error_of(flags={"base.headers": {"X Key": "a"}})


def test_a_policy_that_is_not_installed_is_named_with_those_that_are(toml: Path) -> None:
    toml.write_text("[policy.steady]\nmost = 1\n")
    assert "no policy 'steady' is installed; there are: base, small, specreason" in error_of(toml)


def test_a_name_that_nothing_is_near_gets_no_wrong_hint(toml: Path) -> None:
    toml.write_text("[judge]\nwording = 'x'\n")
    assert error_of(toml).endswith("specreason config --explain lists all")
