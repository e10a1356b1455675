"""LangChain's ChatOpenAI. It shows the answer only: this class drops the thinking of every server.

specreason serve            # in another terminal
python examples/langchain_client.py
"""

import os

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

model = ChatOpenAI(
    model="specreason",
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key=SecretStr(os.environ.get("OPENAI_API_KEY", "none")),
    temperature=0,
    max_completion_tokens=200,
    extra_body={"specreason": {"policy": {"specreason": {"threshold": 5}}}},
)

if __name__ == "__main__":
    reply = model.invoke("What is 12 * 13?")
    print(reply.content)
    print(reply.usage_metadata)
    for chunk in model.stream("What is 7 * 8?"):
        print(chunk.content, end="", flush=True)
    print()
