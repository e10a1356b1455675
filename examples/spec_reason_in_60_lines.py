"""SpecReason as its paper tells it (arXiv 2504.07891), on two OpenAI-compatible servers, one for each model.

python examples/spec_reason_in_60_lines.py http://127.0.0.1:8000/v1 http://127.0.0.1:8001/v1 "12 * 13?"

The servers must continue an assistant's message (`continue_final_message`: vLLM, SGLang, specreason emulate).
What specreason adds: token-exact steps, prefix caches, lookahead, several drafts, repairs, failures, streams.
"""

import sys

import httpx2

THRESHOLD, BUDGET, LONGEST_STEP = 7, 8192, 512  # score 0 to 9, tokens, tokens
QUESTION = "Rate the last reasoning step above from 0 (wrong) to 9 (surely right). Reply with one digit."
Message = dict[str, str]


class Model:
    """A model server, by its base URL."""

    def __init__(self, url: str) -> None:
        self.http = httpx2.Client(base_url=url, timeout=600)
        self.name: str = self.http.get("models").json()["data"][0]["id"]

    def go_on(self, messages: list[Message], max_tokens: int, **more: object) -> tuple[str, int]:
        """What the model writes at the end of the last message, and how many tokens that took."""
        sampling = {"temperature": 0.0} if max_tokens == 1 else {"temperature": 0.6, "top_p": 0.95}
        goes_on = {"add_generation_prompt": False, "continue_final_message": True}
        body = {"model": self.name, "messages": messages, "max_tokens": max_tokens}
        reply = (
            self.http.post("chat/completions", json=body | sampling | goes_on | more)
            .raise_for_status()
            .json()
        )
        return reply["choices"][0]["message"]["content"] or "", reply["usage"]["completion_tokens"]


def spec_reason(base: Model, small: Model, problem: str) -> str:
    """Think step by step, then answer."""
    ask = {"role": "user", "content": f"{problem}\nReason step by step, and put the answer in \\boxed{{}}."}
    thinking, step, used = "<think>\n", problem, 0
    while step.strip() and "</think>" not in thinking and used < BUDGET:
        chain = [ask, {"role": "assistant", "content": thinking}]
        step, tokens = small.go_on(chain, LONGEST_STEP, stop="\n\n")  # 1. draft
        drafted = {"role": "assistant", "content": thinking + step}
        rating = {"role": "assistant", "content": "Rating: ["}
        asked = [ask, drafted, {"role": "user", "content": QUESTION}, rating]
        digit = base.go_on(asked, 1)[0].strip()  # 2. score: one prefill pass, one token
        score = int(digit) if digit.isdecimal() else 0
        if score < THRESHOLD:
            step, tokens = base.go_on(chain, LONGEST_STEP, stop="\n\n")  # 3. reject, and rewrite
        print(f"[{'small' if score >= THRESHOLD else 'base'}, draft scored {score}] {step.strip()}")
        thinking, used = f"{thinking}{step}\n\n", used + tokens
    closed = thinking.partition("</think>")[0] + "\n</think>\n\n"
    return base.go_on([ask, {"role": "assistant", "content": closed}], 1024)[0]  # 4. answer


if __name__ == "__main__":
    print(spec_reason(Model(sys.argv[1]), Model(sys.argv[2]), sys.argv[3]))
