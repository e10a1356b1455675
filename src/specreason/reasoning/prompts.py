r"""What the models are asked: the problem's instruction and the judge's two prompts.

The judge's prompts end right before the digit, on a character after which every tokenizer starts a new
token, so that the digit is one token of its own.
"""

# For models that think by themselves: only the form of the answer.
THINKING_INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."

# For instruct models: short paragraphs make steps, and the boxed answer ends the chain.
INSTRUCT_INSTRUCTION = (
    "Solve this step by step. Write each step as one short paragraph that does one calculation, "
    "with a blank line between steps. Check what is asked before you answer. "
    r"Write the final result, and nothing but it, once, as \boxed{result} in the last step."
)

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


def with_instruction(problem: str, setting: str, *, thinking: bool) -> str:
    """The problem as the user's turn; `setting` is `reasoning.instruction`."""
    if setting == "auto":
        setting = THINKING_INSTRUCTION if thinking else INSTRUCT_INSTRUCTION
    return f"{problem}\n\n{setting}" if setting else problem
