"""The official OpenAI client: blocking, async, streamed, with knobs.

specreason serve            # in another terminal
python examples/openai_client.py
"""

import asyncio
import os

from openai import AsyncOpenAI, OpenAI

URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
KEY = os.environ.get("OPENAI_API_KEY", "none")
PROBLEM = "What is 12 * 13?"


def blocking() -> None:
    """One answer, and what it took."""
    with OpenAI(base_url=URL, api_key=KEY) as client:
        reply = client.chat.completions.create(
            model="specreason",
            messages=[{"role": "user", "content": PROBLEM}],
            max_completion_tokens=200,
            temperature=0,
            extra_body={"specreason": {"policy": {"specreason": {"threshold": 5}}, "include_steps": True}},
        )
    print(reply.choices[0].message.content)
    report = (reply.model_extra or {})["specreason"]["choices"][0]
    for step in report["steps"]:
        print(f"  {step['origin']:9} by {step['author']}: {step['text'].strip()[:60]}")
    print(reply.usage)


async def streamed() -> None:
    """Thinking step by step, then the answer token by token."""
    async with AsyncOpenAI(base_url=URL, api_key=KEY) as client:
        stream = await client.chat.completions.create(
            model="specreason",
            messages=[{"role": "user", "content": PROBLEM}],
            max_completion_tokens=200,
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            for choice in chunk.choices:
                thought = (choice.delta.model_extra or {}).get("reasoning")
                print(thought or choice.delta.content or "", end="", flush=True)
            if chunk.usage:
                print(f"\n{chunk.usage.total_tokens} tokens")


if __name__ == "__main__":
    blocking()
    asyncio.run(streamed())
