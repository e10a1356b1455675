"""Token-level speculation with real models: one that drafts for itself, inside this process."""

from collections.abc import AsyncGenerator
from math import isclose

import pytest
import pytest_asyncio
from method import method
from specreason_lab.problems import problems

from specreason.config import EngineSettings, ReasoningSettings, SamplingSettings, Scheme, Settings
from specreason.engines.chat_format import open_turn
from specreason.engines.http import HttpEngine
from specreason.engines.opening import open_decoder
from specreason.engines.protocol import Piece, Prompt, Sampling, Usage
from specreason.errors import ConfigError
from specreason.models import cache, catalogue, gguf
from specreason.session import SpecReason

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("models")]

POCKET = catalogue.pair(catalogue.POCKET_PAIR)
ONE = EngineSettings(model=POCKET.base.name, context=1024, threads=1)
BOTH = Settings(pair=POCKET.name, base=ONE, small=ONE, sampling=SamplingSettings(temperature=0, seed=1))
PROBLEM = next(problems(0, "test", (7, 7))).text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncGenerator[HttpEngine]:
    engine = await open_decoder(BOTH)
    assert isinstance(engine, HttpEngine)
    yield engine
    await engine.aclose()


async def opened(engine: HttpEngine) -> Prompt:
    message = {"role": "user", "content": PROBLEM}
    return (await open_turn(engine, [message], EngineSettings(), thinking=True)).prompt


async def written(engine: HttpEngine, prompt: Prompt, max_tokens: int = 24) -> tuple[list[Piece], Usage]:
    call = engine.generate(prompt, sampling=Sampling(), max_tokens=max_tokens, session="written")
    return [piece async for piece in call], call.usage


async def test_the_output_is_the_same_token_by_token(pocket: HttpEngine, decoder: HttpEngine) -> None:
    prompt = await opened(pocket)
    plain, usage = await written(pocket, prompt)
    speculated, told = await written(decoder, prompt)
    assert [i for p in speculated for i in p.ids or ()] == [i for p in plain for i in p.ids or ()]
    assert usage.token_drafts is None
    assert told.generated_tokens == usage.generated_tokens > 12
    assert (told.token_drafts or 0) >= (told.token_drafts_kept or 0) >= 8  # it drafts for itself


async def test_the_first_token_s_distribution_is_true(pocket: HttpEngine, decoder: HttpEngine) -> None:
    prompt = await opened(pocket)
    plain = (await pocket.next_token_logprobs(prompt)).logprobs
    told = (await decoder.next_token_logprobs(prompt)).logprobs
    assert [*told][:5] == [*plain][:5]
    assert all(isclose(told[text], plain[text], abs_tol=0.01) for text in [*plain][:5])


async def test_what_it_can_do_is_seen(decoder: HttpEngine) -> None:
    seen = decoder.capabilities
    assert (seen.speculates, seen.token_ids_back, seen.token_prompts) == (True, True, True)
    assert seen.first_token_logprobs >= 20


async def test_a_text_of_several_tokens_a_character_has_no_wrong_ids() -> None:
    one = EngineSettings(model="smollm2-135m-instruct", context=256, threads=1)  # one that writes such text
    talker = await open_decoder(Settings(base=one, small=one))
    assert isinstance(talker, HttpEngine)
    prompt = Prompt().plus(await talker.tokenize("Repeat: 🦊 🦄 🦊 🦄 🦊 🦄"))
    pieces, _ = await written(talker, prompt, 16)
    await talker.aclose()
    assert not all(piece.text.isascii() for piece in pieces)
    for piece in pieces:
        assert piece.ids is None or piece.text.isascii()


async def test_all_schemes_run_side_by_side() -> None:
    async with SpecReason(BOTH, roles=("base", "small", "base+decode")) as session:
        results = {
            scheme: await session.solve(
                PROBLEM,
                reasoning=ReasoningSettings(
                    scheme=Scheme.parse(scheme), token_budget=40, max_step_tokens=20, answer_tokens=8
                ),
                policy=method(threshold=9).policy,
            )
            for scheme in ("base", "base+decode", "small", "specreason", "specreason+decode")
        }
    for scheme, result in results.items():
        assert (result.scheme, result.finished, result.degraded) == (scheme, True, None)
    assert results["base+decode"].thinking == results["base"].thinking
    assert results["base"].tokens["base"].token_drafts == 0
    assert results["base+decode"].tokens["base"].token_drafts_kept > 0
    # One cache holds the chain for writing and judging.
    assert (results["specreason+decode"].cached_token_share or 0) > 0.3


@pytest.mark.parametrize("pair", [catalogue.EMBEDDED_PAIR, catalogue.POCKET_PAIR])
async def test_a_pair_in_this_process_shares_a_vocabulary(pair: str) -> None:
    known = catalogue.pair(pair)
    base, small = (gguf.vocabulary(cache.require(model.name)) for model in (known.base, known.small))
    assert base.same_as(small)


async def test_models_of_two_vocabularies_are_refused_before_they_are_loaded() -> None:
    names = POCKET.base.name, "qwen2.5-coder-0.5b-instruct"
    told = [gguf.vocabulary(cache.require(name)).described for name in names]
    one, other = (EngineSettings(model=name) for name in names)
    with pytest.raises(ConfigError) as caught:
        await open_decoder(Settings(base=one, small=other))
    for part in ("'base.model'", *names, "'small.model'", *told, "one family"):
        assert part in str(caught.value)
    assert caught.value.exit_code == 2
