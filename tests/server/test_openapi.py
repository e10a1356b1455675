"""Schemathesis asks whatever the OpenAPI document allows, and whatever it forbids."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Json, pair, served_in_a_thread

from specreason import ServerSettings, Settings
from specreason.server.replies import ChatReply, Chunk

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "40")
# What fits the document may still be refused: a model that is not here, a conversation that ends with the
# assistant's turn, two fields that exclude one another.
EXCLUDED = "positive_data_acceptance"


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    server = ServerSettings(port=0, concurrency=8, max_tokens=2**31, max_choices=128, queue=512)
    with served_in_a_thread(pair(), Settings(server=server)) as where:
        yield where


def test_no_5xx_and_no_answer_that_the_document_does_not_know(url: str, tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("schemathesis"))
    asked = [f"{url}/openapi.json", "--max-examples", EXAMPLES, "--seed", "1", "--exclude-checks", EXCLUDED]
    done = subprocess.run(
        [program, "run", *asked, "--no-color"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


TEXTS = st.text(min_size=1, max_size=40).filter(str.strip)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user"]), "content": st.text(max_size=20)},
        optional={"name": st.text(max_size=9)},
    )
    | st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": st.text(max_size=20)},
        optional={"reasoning": st.text(max_size=9), "reasoning_content": st.none() | st.text(max_size=9)},
    ),
    max_size=3,
)
RULE: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {},
    optional={
        "threshold": st.floats(0, 9),
        "first_n_base_steps": st.integers(0, 5),
        "judge_method": st.sampled_from(["greedy", "expected", None]),
        "judge_prompt": st.sampled_from(["auto", "paper", "inline"]),
    },
)
KNOBS: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {},
    optional={
        "policy": st.fixed_dictionaries({}, optional={"specreason": RULE}),
        "on_reject": st.sampled_from(["rewrite", "keep_prefix"]),
        "max_step_tokens": st.integers(1, 20),
        "answer_tokens": st.integers(1, 20),
        "token_budget": st.integers(1, 30),
        "budget_counts": st.sampled_from(["kept", "generated"]),
        "answer_by": st.sampled_from(["base", "small"]),
        "instruction": st.text(max_size=20),
        "end_on_answer": st.booleans(),
        "include_steps": st.booleans(),
    },
)


def asking_for(turns: list[Json], problem: str, rest: Json) -> Json:
    return {**rest, "messages": [*turns, {"role": "user", "content": problem}]}


BODIES = st.builds(
    asking_for,
    TURNS,
    TEXTS,
    st.fixed_dictionaries(
        {"model": st.sampled_from(["specreason", "scripted-base", "scripted-small"])},
        optional={
            "n": st.integers(1, 3),
            "stream": st.booleans(),
            "max_completion_tokens": st.integers(1, 40),
            "temperature": st.floats(0, 2),
            "top_p": st.floats(0.01, 1),
            "top_k": st.integers(-1, 99),
            "min_p": st.floats(0, 1),
            "seed": st.integers(-(2**63), 2**64 - 1),
            "stop": TEXTS | st.lists(TEXTS, max_size=9),
            "user": st.text(max_size=9),
            "specreason": KNOBS,
        },
    ),
)


@given(body=BODIES)
@settings(
    max_examples=int(EXAMPLES) * 3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_is_right_is_answered(url: str, body: Json) -> None:
    with httpx2.Client(base_url=url, trust_env=False, timeout=30) as client:
        reply = client.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    choices = body.get("n", 1)
    if body.get("stream"):
        lines = [line for line in reply.text.split("\n\n") if line]
        chunks = [Chunk.model_validate_json(line.removeprefix("data: ")) for line in lines[:-1]]
        assert lines[-1] == "data: [DONE]"
        assert sum(c.finish_reason is not None for chunk in chunks for c in chunk.choices) == choices
        return
    told = ChatReply.model_validate_json(reply.content)
    assert len(told.choices) == choices
    if limit := body.get("max_completion_tokens"):
        assert told.usage.completion_tokens <= limit * choices
    stops = body.get("stop", ())
    for choice in told.choices:
        for stop in [stops] if isinstance(stops, str) else stops:
            assert stop not in (choice.message.content or "")
