"""Settings in a request: made from any section, checked by the section's own validators."""

from typing import Annotated, Self

import pytest
from pydantic import ValidationError, field_validator, model_validator

from specreason.config import ReasoningSettings
from specreason.config.explain import knobs
from specreason.config.knobs import Section, knob
from specreason.server.errors import Refused
from specreason.server.fields import Strict
from specreason.server.overrides import RequestSettings, overridden, settable
from specreason.server.validation import refusal


class Router(Section):
    """Who writes where the small model is unsure."""

    tau: Annotated[float, knob("The base model writes above this entropy.", ge=0, le=8)] = 1.0
    window: Annotated[int, knob("Tokens that are looked at.", unit="tokens", ge=1)] = 1

    @field_validator("window")
    @classmethod
    def _is_odd(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError("it must be odd")
        return window

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.tau > 4 and self.window > 1:
            raise ValueError("a tau above 4 goes with a window of 1")
        return self


class Policies(Section):
    """The policies, each with its settings."""

    router: Annotated[Router, knob("Routing.")] = Router()


@settable(ReasoningSettings, policy={"router": Router})
class WithPolicies(Strict):
    """A request object with a table of policies."""


def test_every_setting_of_the_method_can_be_sent() -> None:
    made = RequestSettings.model_fields
    assert set(made) == {*ReasoningSettings.model_fields, "policy", "include_steps"}
    for name, field in ReasoningSettings.model_fields.items():
        assert made[name].description == field.description


def test_a_policy_brings_its_settings_into_the_request() -> None:
    sent = WithPolicies.model_validate_json(
        '{"lookahead": 2, "policy": {"router": {"tau": 2, "window": 3.0}}}'
    )
    assert sent.model_dump(exclude_none=True) == {
        "lookahead": 2,
        "policy": {"router": {"tau": 2, "window": 3}},
    }
    router = WithPolicies.model_json_schema()["$defs"]["Router"]["properties"]
    assert router["tau"]["anyOf"][0] == {"type": "number", "minimum": 0, "maximum": 8}
    assert router["window"]["description"] == "Tokens that are looked at."


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ('{"policy": {"router": {"tau": 9}}}', ("policy", "router", "tau")),
        ('{"policy": {"router": {"tau": "2"}}}', ("policy", "router", "tau")),
        ('{"policy": {"router": {"window": 1.5}}}', ("policy", "router", "window")),
        ('{"policy": {"rooter": {}}}', ("policy", "rooter")),
    ],
)
def test_bounds_and_types_are_those_of_the_settings(body: str, where: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as error:
        WithPolicies.model_validate_json(body)
    assert error.value.errors()[0]["loc"] == where


def test_a_refusal_names_the_setting_of_a_policy() -> None:
    class Body(Strict):
        specreason: WithPolicies | None = None

    for sent, message in {
        '{"tau": 9}': "'specreason.policy.router.tau' is 9; it must be at most 8",
        '{"windw": 1}': "unknown field 'specreason.policy.router.windw'; did you mean 'window'?",
    }.items():
        with pytest.raises(ValidationError) as error:
            Body.model_validate_json(f'{{"specreason": {{"policy": {{"router": {sent}}}}}}}')
        assert str(refusal(error.value.errors(), Body)) == message


def test_the_reference_lists_the_settings_of_policies() -> None:
    listed = {knob.key: knob.range for knob in knobs(WithPolicies)}
    assert listed["policy.router.tau"] == "≥ 0 and ≤ 8"
    assert set(ReasoningSettings.model_fields) < set(listed)


def test_what_is_not_given_stays_as_the_server_has_it() -> None:
    server = Policies(router=Router(tau=3, window=3))
    assert overridden(server, {"router": {"tau": 2}}) == Policies(router=Router(tau=2, window=3))
    assert overridden(server, {"router": {}}) == server


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"window": 2}, "specreason.policy.router.window", "invalid_value"),
        ({"tau": 5, "window": 3}, "specreason.policy.router", "conflicting_fields"),
    ],
)
def test_the_validators_of_the_settings_run(given: dict[str, float], param: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        overridden(Policies(), {"router": given}, "specreason.policy")
    assert (refused.value.param, refused.value.code) == (param, code)
    assert f"'{param}': " in str(refused.value)
