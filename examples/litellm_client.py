"""LiteLLM, which hands the thinking on in `reasoning_content`.

specreason serve            # in another terminal
python examples/litellm_client.py
"""

import os
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # its list of prices would be fetched

import litellm

ASKING: dict[str, Any] = {
    "model": "openai/specreason",
    "api_base": os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    "api_key": os.environ.get("OPENAI_API_KEY", "none"),
    "messages": [{"role": "user", "content": "What is 12 * 13?"}],
    "max_completion_tokens": 200,
    "extra_body": {"specreason": {"policy": {"specreason": {"threshold": 5}}}},
}

if __name__ == "__main__":
    reply: Any = litellm.completion(**ASKING)
    message = reply.choices[0].message
    print("thinking:", message.reasoning_content)
    print("answer:", message.content)
    stream: Any = litellm.completion(**ASKING, stream=True)
    for chunk in stream:
        delta = chunk.choices[0].delta
        print(getattr(delta, "reasoning_content", None) or delta.content or "", end="", flush=True)
    print()
