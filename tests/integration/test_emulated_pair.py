"""The emulated servers before real clients: ours, the official one, and bare HTTP."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from method import method
from openai import AsyncOpenAI
from serving import until

from specreason import EngineSettings, SamplingSettings, Settings, SpecReason
from specreason.config.scheme import Role
from specreason.emulate.bounds import Schedule, base_alone_s, least_s
from specreason.emulate.pair import Pair, direct, emulated_models, emulated_pair, listening
from specreason.emulate.profiles import PAPER, PROFILES, Profile
from specreason.emulate.script import Script
from specreason.emulate.skipping import run_skipping
from specreason.emulate.tokens import decode, encode
from specreason.engines.connect import connect
from specreason.engines.http import HttpEngine
from specreason.engines.probing import probe_cancellation
from specreason.engines.protocol import Prompt, Sampling
from specreason.reasoning.result import Result

SCRIPT = Script(seed=1, acceptance=0.6)
FAST = 0.002
ASKED = [{"role": "user", "content": "This is problem 17."}]


async def engines_before(models: Any) -> dict[Role, HttpEngine]:
    return {
        role: await connect(role, EngineSettings(url=f"http://{role}"), transport=direct(model))
        for role, model in models.items()
    }


def solved(profile: Profile, script: Script = SCRIPT, **given: Any) -> tuple[Result, float]:
    """Problem 17 and the emulated seconds that it took."""

    async def main() -> tuple[Result, float]:
        engines = await engines_before(emulated_models(script, profile))
        settings = method(judge_prompt="paper", **given).model_copy(
            update={"sampling": SamplingSettings(seed=5)}
        )
        async with SpecReason(settings, engines=engines) as session:
            begun = asyncio.get_running_loop().time()
            result = await session.solve("This is problem 17.")
            return result, asyncio.get_running_loop().time() - begun

    return run_skipping(main())


@asynccontextmanager
async def served(scale: float = FAST) -> AsyncGenerator[tuple[Pair, httpx2.AsyncClient]]:
    """The pair on sockets, and a bare client of the base model."""
    async with (
        emulated_pair(SCRIPT, scale=scale) as pair,
        httpx2.AsyncClient(base_url=pair.base.removesuffix("/v1"), trust_env=False, timeout=30) as client,
    ):
        yield pair, client


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_the_whole_loop_takes_little_more_than_its_bound(profile: Profile) -> None:
    result, seconds = solved(profile)
    least = least_s(SCRIPT, profile, 17, Schedule())
    assert least <= seconds <= 1.1 * least
    assert result.answer is not None
    assert SCRIPT.answer(17, ()) == f"The answer is \\boxed{{{result.answer}}}."
    steps = range(SCRIPT.length(17))
    assert [step.author for step in result.steps] == [
        "small" if SCRIPT.is_good(17, index, 0) else "base" for index in steps
    ]
    assert solved(profile)[1] == seconds


def test_the_base_model_alone_takes_its_time() -> None:
    seconds = solved(PAPER, scheme="base")[1]
    least = base_alone_s(SCRIPT, PAPER, 17)
    assert least <= seconds <= 1.02 * least


def test_one_stream_and_a_request_a_step_get_the_same_drafts() -> None:
    one_stream = solved(PAPER, scheme="small")[0]
    held = solved(PAPER, threshold=0)[0]
    assert [step.text for step in one_stream.steps] == [step.text for step in held.steps]
    assert len(held.steps) == SCRIPT.length(17)


def test_a_token_costs_the_processor_little() -> None:
    async def main() -> float:
        models = emulated_models(Script(steps=60), PAPER)
        engines = await engines_before(models)
        begun, before = time.process_time(), models["small"].worker.tokens
        prompt = Prompt().plus(await engines["small"].tokenize("problem 17"))
        async for _ in engines["small"].generate(prompt, sampling=Sampling(), max_tokens=3000):
            pass
        return (time.process_time() - begun) / (models["small"].worker.tokens - before)

    assert run_skipping(main()) < 0.002  # a pass of the fastest profile takes 0.004


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_ends_the_work_at_once(streamed: bool) -> None:
    async def main() -> float:
        model = emulated_models(SCRIPT, PAPER)["small"]
        loop = asyncio.get_running_loop()
        body = {"prompt": "problem 17", "max_tokens": 3000, "stream": streamed}
        async with httpx2.AsyncClient(transport=direct(model), base_url="http://small") as client:
            call = asyncio.create_task(client.post("/v1/completions", json=body, timeout=None))
            await asyncio.sleep(1)
            assert (model.worker.running, call.done()) == (1, False)
            left = loop.time()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await until(lambda: not model.worker.busy)
            assert (model.worker.running, model.worker.waiting) == (0, 0)
            return loop.time() - left

    assert run_skipping(main()) <= 0.05


async def test_a_closed_connection_frees_the_sequence() -> None:
    async with served(scale=1.0) as (pair, client):
        worker = pair.models["base"].worker
        waits: list[float] = []
        for _ in range(3):  # a busy machine may be late once
            body = {"prompt": "problem 17", "max_tokens": 3000, "stream": True}
            async with client.stream("POST", "/v1/completions", json=body) as reply:
                await anext(reply.aiter_lines())
                assert worker.running == 1
            left = time.perf_counter()
            await until(lambda: not worker.running)
            waits.append(time.perf_counter() - left)
        assert min(waits) < 0.05


async def test_our_client_takes_it_for_a_vllm_server() -> None:
    async with emulated_pair(SCRIPT, scale=FAST) as pair:
        engine = await connect("base", EngineSettings(url=pair.base))
        try:
            assert engine.dialect == "vllm"
            assert engine.model == "emulation/QwQ-32B"
            seen = engine.capabilities
            assert (seen.tokenize, seen.token_prompts, seen.token_ids_back, seen.cached_tokens) == (True,) * 4
            assert (seen.first_token_logprobs, seen.own_template) == (20, True)
            assert await probe_cancellation(engine) is not False
        finally:
            await engine.aclose()


async def test_a_problem_is_solved_over_sockets() -> None:
    async with emulated_pair(SCRIPT, scale=FAST) as pair:
        settings = Settings(base=EngineSettings(url=pair.base), small=EngineSettings(url=pair.small))
        async with SpecReason(settings) as session:
            results = await asyncio.gather(*(session.solve(f"This is problem {k}.") for k in (17, 18)))
    for k, result in zip((17, 18), results, strict=True):
        assert f"\\boxed{{{result.answer}}}" in SCRIPT.answer(k, ())


async def test_the_official_client() -> None:
    async with (
        emulated_pair(SCRIPT, scale=FAST) as pair,
        AsyncOpenAI(base_url=pair.small, api_key="none") as client,
    ):
        model = (await client.models.list()).data[0].id
        assert model == "emulation/DeepSeek-R1-Distill-Qwen-1.5B"
        drafts = await client.completions.create(
            model=model, prompt="problem 17", n=3, max_tokens=200, stop="\n\n", logprobs=2
        )
        for sample, choice in enumerate(drafts.choices):
            assert choice.text + "\n\n" == SCRIPT.step(17, 0, sample).text
            assert choice.finish_reason == "stop"
            assert choice.logprobs is not None
            assert choice.logprobs.top_logprobs is not None
            assert len(choice.logprobs.top_logprobs[0]) == 2
        first = SCRIPT.step(17, 0, 0).text
        chat = await client.chat.completions.create(
            model=model,
            messages=[
                {"role": "user", "content": "This is problem 17."},
                {"role": "assistant", "content": f"<think>\n{first}"},
            ],
            max_tokens=SCRIPT.step(17, 1, 0).tokens,
            logprobs=True,
            top_logprobs=3,
            extra_body={"continue_final_message": True, "add_generation_prompt": False},
        )
        assert chat.choices[0].message.content == SCRIPT.step(17, 1, 0).text
        assert chat.choices[0].finish_reason == "length"
        assert chat.system_fingerprint == "emulation:paper:small"
        stream = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "This is problem 17."}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        told = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert told.startswith(first)
        assert "\\boxed" in told
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == len(chunks) - 1


async def test_the_account_of_a_request() -> None:
    async with served() as (pair, client):
        prompt = encode("This is problem 17. " + "Think about it. " * 20)
        body = {"prompt": prompt, "max_tokens": 3, "n": 2, "return_token_ids": True}
        first, again = [(await client.post("/v1/completions", json=body)).json() for _ in range(2)]
        assert first["usage"]["prompt_tokens"] == len(prompt)
        assert first["usage"]["completion_tokens"] == 6
        assert first["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
        assert again["usage"]["prompt_tokens_details"] == {"cached_tokens": (len(prompt) - 1) // 16 * 16}
        for choice in first["choices"]:
            assert choice["prompt_token_ids"] == prompt
            assert decode(choice["token_ids"]) == choice["text"]
        page = (await client.get("/metrics")).text
        label = '{model_name="emulation/QwQ-32B"}'
        for name, value in (
            ("num_requests_running", 0),
            ("num_requests_waiting", 0),
            ("prefix_cache_queries_total", 4 * len(prompt)),
            ("prefix_cache_hits_total", pair.models["base"].worker.cache.hits),
            ("generation_tokens_total", 12),
        ):
            assert f"vllm:{name}{label} {float(value)}" in page


async def test_given_tokens_are_told_whatever_their_rank() -> None:
    async with served() as (_, client):
        seven, never = encode("7")[0], encode(" 7")[0]
        draft = SCRIPT.step(17, 0, 0).text
        body = {
            "prompt": f"problem 17\n\n{draft}(Is the last step correct? From 0 = wrong to 9 = right: [",
            "max_tokens": 1,
            "logprobs": 1,
            "logprob_token_ids": [seven, never],
            "return_tokens_as_token_ids": True,
        }
        choice = (await client.post("/v1/completions", json=body)).json()["choices"][0]
        assert choice["text"] == str(SCRIPT.score(17, 0, 0))
        assert {f"token_id:{seven}", f"token_id:{never}"} <= set(choice["logprobs"]["top_logprobs"][0])


async def test_tokens_of_a_conversation_and_back() -> None:
    async with served() as (_, client):
        ids = (await client.post("/tokenize", json={"messages": ASKED})).json()["tokens"]
        text = (await client.post("/detokenize", json={"tokens": ids})).json()["prompt"]
        assert text == "<|im_start|>user\nThis is problem 17.<|im_end|>\n<|im_start|>assistant\n<think>\n"
        assert (await client.get("/health")).status_code == 200
        entry = (await client.get("/v1/models")).json()["data"][0]
        assert entry["emulation"] == "emulation:paper:base"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/completions", {"prompt": "x", "model": "gpt"}, 404, "gpt"),
        ("/v1/completions", {"prompt": "x", "max_tokens": 0}, 400, "max_tokens"),
        ("/v1/completions", {"prompt": []}, 400, "prompt"),
        ("/v1/completions", {"prompt": [5]}, 400, "5 is not a token"),
        ("/v1/completions", {"prompt": [266] * 40000}, 400, "maximum context length"),
        ("/v1/chat/completions", {"messages": []}, 400, "messages"),
        ("/v1/chat/completions", {"messages": ASKED, "continue_final_message": True}, 400, "add_generation"),
        ("/detokenize", {"tokens": [-1]}, 400, "-1 is not a token"),
    ],
)
async def test_refusals_name_what_is_wrong(path: str, body: Any, status: int, said: str) -> None:
    async with served() as (_, client):
        reply = await client.post(path, json=body)
        assert reply.status_code == status
        assert said in reply.json()["error"]["message"]


def test_replies_are_not_held_back() -> None:
    """asyncio turns Nagle's algorithm off (40 ms a reply) only where the socket names its protocol."""
    with listening("127.0.0.1", 0) as door:
        assert door.proto == socket.IPPROTO_TCP


def test_what_a_step_was_planned_by_is_in_the_result() -> None:
    result, _ = solved(PAPER, speculate="auto")
    assert result.steps[0].plan == "what the base model needs is not known yet"
    assert all(step.plan for step in result.steps)
    always, _ = solved(PAPER)
    assert {step.plan for step in always.steps} == {None}


COMMAND = (sys.executable, "-m", "specreason.cli.app", "emulate")


async def test_the_command_serves_both_models() -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--port", "18473", "--script", "1", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            told = [(await process.stdout.readline()).decode() for _ in range(2)]
        assert told[0].startswith("emulation of base (emulation/QwQ-32B): http://127.0.0.1:18473/v1")
        assert "18474" in told[1]
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.get("http://127.0.0.1:18474/health")).status_code == 200
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--profile", "none"), "'profile' is 'none'; there are: paper, h100, cpu"),
        (("--acceptance", "1.5"), "'acceptance' is 1.5; give a share from 0 to 1"),
        (("--scale", "0"), "'scale' is 0; give a number above 0"),
    ],
)
async def test_the_command_refuses_what_cannot_be(flags: tuple[str, ...], said: str) -> None:
    process = await asyncio.create_subprocess_exec(*COMMAND, *flags, stderr=asyncio.subprocess.PIPE)
    _, stderr = await process.communicate()
    assert process.returncode == 2
    assert said in " ".join(stderr.decode().split())
