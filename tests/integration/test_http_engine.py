"""The HTTP engine against a real llama-server: that of the embedded engine, reached by its address."""

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from method import method
from pydantic import SecretStr
from specreason_lab.problems import problems

from specreason.config import EngineSettings, ReasoningSettings, SamplingSettings, Settings
from specreason.engines import llama_cpp
from specreason.engines.chat_format import open_turn
from specreason.engines.connect import connect
from specreason.engines.dialects import Route
from specreason.engines.http import HttpEngine
from specreason.engines.opening import open_engine
from specreason.engines.probing import probe_cancellation
from specreason.engines.protocol import Constraint, Prompt, Sampling
from specreason.engines.transport import Transport
from specreason.errors import EngineRejected
from specreason.models import cache, catalogue
from specreason.session import SpecReason

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("models")]

PAIR = catalogue.POCKET_PAIR
MODEL = catalogue.pair(PAIR).base.name
PROBLEM = next(problems(0, "test", (7, 7))).text


class Address:
    """Where the embedded engine's server listens, as an outsider would be told it."""

    def __init__(self, settings: EngineSettings) -> None:
        assert settings.url
        assert settings.api_key
        self.url = settings.url
        self.key = settings.api_key.get_secret_value()

    def settings(self, **more: Any) -> EngineSettings:
        known: dict[str, Any] = {"url": f"{self.url}/v1", "api_key": self.key}
        return EngineSettings.model_validate(known | more)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncGenerator[Address]:
    told: list[EngineSettings] = []

    async def overhear(name: str, settings: EngineSettings, **more: Any) -> HttpEngine:
        told.append(settings)
        return await connect(name, settings, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llama_cpp, "connect", overhear)
        engine = await llama_cpp.load(
            "base", cache.require(MODEL), MODEL, EngineSettings(context=1024, threads=1)
        )
    yield Address(told[0])
    await engine.aclose()


async def opened(engine: HttpEngine, problem: str = PROBLEM) -> Prompt:
    message = {"role": "user", "content": problem}
    return (await open_turn(engine, [message], EngineSettings(), thinking=True)).prompt


async def test_auto_recognises_llama_server(address: Address) -> None:
    # Or the model may end its text before anyone can leave.
    engine = await connect("base", address.settings(extra_body={"ignore_eos": True}))
    assert engine.dialect == "llama-server"
    assert engine.model == MODEL
    assert engine.context_length == 1024
    seen = engine.capabilities
    assert seen.tokenize
    assert seen.token_prompts
    assert seen.token_ids_back
    assert seen.cached_tokens
    assert seen.own_template
    assert seen.first_token_logprobs >= 20
    assert await probe_cancellation(engine) is True
    await engine.aclose()


async def test_both_ways_give_the_same_tokens(address: Address) -> None:
    engines = [await connect("base", address.settings(dialect=d)) for d in ("auto", "llama-server")]
    said: list[list[tuple[int, ...] | None]] = []
    for engine in engines:
        call = engine.generate(await opened(engine), sampling=Sampling(), max_tokens=6)
        said.append([piece.ids async for piece in call])
        await engine.aclose()
    assert said[0] == said[1]
    assert engines[0].vocabulary == engines[1].vocabulary


async def test_a_second_problem_asks_only_for_its_own_tokens(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await connect("base", address.settings())
    await opened(engine)
    asked: list[str] = []
    ask = Transport.ask

    async def overheard(self: Transport, route: Route, value: object, *rest: Any) -> Any:
        asked.append(route.path)
        return await ask(self, route, value, *rest)

    monkeypatch.setattr(Transport, "ask", overheard)
    await opened(engine, "Another one")
    assert asked == ["/apply-template", "/tokenize"]  # the template may depend on the day, the problem is new
    await engine.aclose()


async def test_generic_takes_text_only(address: Address) -> None:
    engine = await connect("base", address.settings(dialect="generic", chat_template="chatml"))
    assert not engine.capabilities.token_prompts
    call = engine.generate(await opened(engine), sampling=Sampling(), max_tokens=4)
    assert "".join([piece.text async for piece in call])
    assert call.finish == "length"
    await engine.aclose()


FORMS: list[tuple[Constraint, str]] = [
    (Constraint("choice", ("seventeen", "12")), r"seventeen|12"),
    (Constraint("grammar", 'root ::= "<" [0-9] [0-9] ">"'), r"<[0-9]{2}>"),
    (
        Constraint(
            "json",
            {
                "type": "object",
                "properties": {"value": {"type": "integer", "minimum": 0, "maximum": 99}},
                "required": ["value"],
                "additionalProperties": False,
            },
        ),
        r'\{"value": ?[0-9]{1,2}\}',
    ),
]


@pytest.mark.parametrize(("constraint", "form"), FORMS)
async def test_a_text_keeps_to_a_form(address: Address, constraint: Constraint, form: str) -> None:
    engine = await connect("base", address.settings())
    assert constraint.kind in engine.capabilities.constraints
    call = engine.generate(await opened(engine), sampling=Sampling(constraint=constraint), max_tokens=60)
    text = "".join([piece.text async for piece in call])
    await engine.aclose()
    assert re.fullmatch(form, text.strip()), text


@pytest.mark.parametrize("key", ["wrong-key-0123456", None])
async def test_a_wrong_key_names_the_setting(address: Address, key: str | None) -> None:
    with pytest.raises(EngineRejected, match=r"'base\.api_key'") as caught:
        await connect("base", EngineSettings(url=address.url, api_key=SecretStr(key) if key else None))
    assert "wrong-key" not in str(caught.value)
    # llama-server lists its models to anyone, so that the key is missed only later.
    with pytest.raises(EngineRejected, match=r"'small\.api_key'"):
        await open_engine("small", address.settings(api_key=key, dialect="llama-server"))


async def test_an_unknown_model_lists_the_served_one(address: Address) -> None:
    with pytest.raises(EngineRejected, match=f"'other'.*{MODEL}"):
        await connect("base", address.settings(model="other"))


async def test_a_pair_of_endpoints_solves_a_problem(address: Address) -> None:
    settings = Settings(
        pair=PAIR,
        base=address.settings(model=MODEL),
        small=address.settings(model=MODEL),
        reasoning=ReasoningSettings(token_budget=120),
        policy=method(threshold=0).policy,
        sampling=SamplingSettings(temperature=0),
    )
    async with SpecReason(settings) as engine:
        result = await asyncio.wait_for(engine.solve(PROBLEM), 120)
    assert result.finished
    assert result.drafts >= 1
    assert result.degraded is None
