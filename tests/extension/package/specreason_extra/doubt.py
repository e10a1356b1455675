"""A signal: how sure the small model is of its own step, asked in a few tokens of its own."""

import math

from specreason import Context, Signal, Task

QUESTION = "(Is the last step right? Answer yes or no: "


async def self_trust(task: Task) -> Signal[float]:
    """Probability of yes among yes and no, 0 to 1."""
    question = await task.remark("small", QUESTION)

    async def measure(context: Context) -> float:
        asked = question.after_close if context.draft.end == "think_close" else question.within
        prompt = context.with_draft.prompts["small"].plus(*asked)
        reply = await context.engines["small"].next_token_logprobs(
            prompt, candidates=("yes", "no"), session=context.session
        )
        yes, no = (math.exp(reply.logprobs.get(word, -20.0)) for word in ("yes", "no"))
        return yes / (yes + no)

    return Signal("self_trust", "small", measure)
