"""A scripted model behind the completions API, as a process of its own that can be killed and started again.

    python model_server.py --port 9000 --script '{"name": "base", "steps": [...], "answer": "..."}'

The script is that of `ScriptedEngine`; a token is a byte, a chunk is a word.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from server import Behaviour, Exchange, FakeServer

from specreason.engines.protocol import Prompt, Sampling, Segment
from specreason.engines.scripted import ScriptedEngine

# What ScriptedEngine takes for the assistant's turn.
TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|><think>\n"


def scripted(engine: ScriptedEngine) -> Behaviour:
    """Completions as `engine` writes them, streamed word by word as vLLM would."""

    async def behave(exchange: Exchange) -> None:
        sent: Any = exchange.body["prompt"]
        text = sent if isinstance(sent, str) else bytes(sent).decode()
        prompt = Prompt().plus(Segment(text))
        await exchange.head(200, "text/event-stream")
        limit = int(exchange.body["max_tokens"])
        words = _score(engine, prompt) if limit == 1 else _words(engine, prompt, limit)
        count = 0
        async for choice in words:
            count += len(choice["token_ids"])
            await exchange.event({"choices": [choice]})
        await exchange.event({"choices": [{"text": "", "finish_reason": "length" if limit == 1 else "stop"}]})
        usage = {"prompt_tokens": len(sent), "completion_tokens": count}
        await exchange.event({"choices": [], "usage": usage})
        await exchange.raw("data: [DONE]\n\n")

    return behave


async def _words(engine: ScriptedEngine, prompt: Prompt, limit: int) -> AsyncGenerator[dict[str, Any]]:
    async for piece in engine.generate(prompt, sampling=Sampling(), max_tokens=limit):
        yield {"text": piece.text, "token_ids": list(piece.text.encode())}


async def _score(engine: ScriptedEngine, prompt: Prompt) -> AsyncGenerator[dict[str, Any]]:
    told = await engine.next_token_logprobs(prompt)
    digit = next(iter(told.logprobs))
    top = {f"token_id:{ord(text)}": logprob for text, logprob in told.logprobs.items()}
    yield {"text": digit, "token_ids": [ord(digit)], "logprobs": {"top_logprobs": [top]}}


@asynccontextmanager
async def serving_script(engine: ScriptedEngine, port: int = 0) -> AsyncGenerator[FakeServer]:
    """The scripted model on a port of loopback, in this process."""
    fake = FakeServer(owner="vllm", models=[engine.model], context=8192, always=scripted(engine))
    listener = await asyncio.start_server(fake.serve, "127.0.0.1", port)
    fake.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    try:
        yield fake
    finally:
        listener.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", required=True, help="JSON: arguments of ScriptedEngine")
    arguments = parser.parse_args()
    async with serving_script(ScriptedEngine(**json.loads(arguments.script)), arguments.port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    assert Path(__file__).with_name("server.py").exists()
    asyncio.run(main())
