"""Load generators with their defaults: guidellm itself, and the requests that `vllm bench serve` sends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest


def test_guidellm_completes_what_it_sends(tmp_path: Path) -> None:
    lines = Path(os.environ["CLIENTS_PROBLEMS"]).read_text().splitlines()
    prompts = [
        json.dumps({"prompt": json.loads(line)["problem"], "output_tokens_count": 400}) for line in lines
    ]
    (tmp_path / "prompts.jsonl").write_text("\n".join(prompts))
    flags = [
        "--backend",
        f"kind=openai_http,target={os.environ['CLIENTS_URL']}",
        "--profile",
        "kind=synchronous",
        "--constraint",
        "kind=max_requests,count=4",
        "--data",
        "kind=json_file,path=prompts.jsonl",
        "--output",
        "kind=json,path=told.json",
    ]
    done = subprocess.run(
        [Path(sys.executable).with_name("guidellm"), "run", *flags, "--disable-console"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    requests = json.loads((tmp_path / "told.json").read_text())["benchmarks"][0]["requests"]
    assert len(requests["successful"]) == 4
    assert not requests["errored"]


# vllm/benchmarks/lib/endpoint_request_func.py: the chat backend's body, without and with --ignore-eos,
# sampling flags and --extra-body.
VLLM_BENCH = [
    {
        "temperature": 0.0,
        "max_completion_tokens": 200,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    {
        "temperature": 0.0,
        "max_tokens": 200,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "ignore_eos": True,
        "top_k": -1,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
    },
]


@pytest.mark.parametrize("body", VLLM_BENCH)
def test_vllms_benchmark_gets_its_stream(problem: str, body: dict) -> None:
    content = [{"type": "text", "text": problem}]
    asked = {"model": "specreason", "messages": [{"role": "user", "content": content}], **body}
    url = f"{os.environ['CLIENTS_URL']}/v1/chat/completions"
    headers = {"Authorization": "Bearer none", "x-request-id": "benchmark-serving-1"}
    reply = httpx.post(url, json=asked, headers=headers, timeout=60, trust_env=False)
    assert reply.status_code == 200, reply.text
    lines = [line for line in reply.text.split("\n\n") if line.startswith("data: {")]
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert any(choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"])
    assert chunks[-1]["usage"]["completion_tokens"] > 50
