r"""What the models are asked: the problem's instruction and the judge's two prompts.

The judge's prompts end right before the digit, on a character after which every tokenizer starts a new
token, so that the digit is one token of its own.
"""

# What the makers of Qwen and DeepSeek-R1 ask for; it suits instruct models too (docs/performance.md).
INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."
FORMED_INSTRUCTION = "Please reason step by step."

# A new user turn, as in the paper (section 4.1): only the last step, only correctness, 0 to 9.
JUDGE_QUESTION = (
    "Rate the last reasoning step above, and only that step: is it factually correct, and does it follow "
    "logically from the problem and the steps before it? Pay no regard to style or to whether it is useful. "
    "Give one digit from 0 (wrong) to 9 (surely right)."
)
JUDGE_OPENING = "Rating of the last step: ["

# Inside the assistant's own turn, a few tokens only.
INLINE_JUDGE = "(Is the last step correct? From 0 = wrong to 9 = right: ["

# Opens the answer of a model that has no thinking block and has not stated it.
ANSWER_CUE = "Final answer: \\boxed{"

# The same where the caller says what form the answer has; not part of it.
FORMED_ANSWER_CUE = "Final answer:\n"


def instruction_for(setting: str, *, formed: bool, tools: bool) -> str:
    """What is put after the problem; `setting` is `reasoning.instruction`.

    By itself it asks for a boxed answer; not where that has another form (`formed`) or may call `tools`.
    """
    if setting != "auto":
        return setting
    return "" if tools else FORMED_INSTRUCTION if formed else INSTRUCTION


def with_instruction(problem: str, setting: str) -> str:
    """The problem as the user's turn; `setting` is `reasoning.instruction`."""
    instruction = instruction_for(setting, formed=False, tools=False)
    return f"{problem}\n\n{instruction}" if instruction else problem
