"""The conversation to solve: checked, and with the instruction that the models get."""

from collections.abc import Mapping, Sequence

from specreason.config.scheme import Role
from specreason.engines.chat_format import OpenTurn
from specreason.engines.protocol import Message
from specreason.errors import InputError
from specreason.reasoning.options import RunOptions
from specreason.reasoning.prompts import instruction_for, with_instruction


def instructed(conversation: Sequence[Message], setting: str, options: RunOptions) -> list[Message]:
    """The conversation, the instruction put after the problem where that is what comes last."""
    *before, last = conversation
    if last["role"] != "user":
        return list(conversation)
    instruction = instruction_for(setting, formed=options.constraint is not None, tools=bool(options.tools))
    return [*before, {**last, "content": with_instruction(last["content"], instruction)}]


def answers_directly(
    messages: Sequence[Message], options: RunOptions, turns: Mapping[Role, OpenTurn]
) -> bool:
    """Whether the answer is written at once: a turn is gone on with, or a reply that may call tools.

    A model without a thinking block calls tools in its reply, which then cannot be the chain.
    """
    free_calls = bool(options.tools) and options.constraint is None
    goes_on = messages[-1]["role"] == "assistant"
    return (goes_on or free_calls) and not any(turn.thinking for turn in turns.values())


def checked_messages(problem: str | Sequence[Message]) -> list[Message]:
    """The conversation to solve. Raises InputError if it is empty, no text, or has no turn to answer."""
    messages: list[Message] = (
        [{"role": "user", "content": problem}] if isinstance(problem, str) else list(problem)
    )
    if not messages or messages[-1].get("role") not in {"user", "tool", "assistant"}:
        raise InputError(
            "the conversation must end with a message of the user, a tool or the assistant (to go on with)"
        )
    for message in messages:
        if message.get("role") not in {"system", "user", "assistant", "tool"} or "content" not in message:
            raise InputError(
                f"a message needs a role (system, user, assistant, tool) and content: {dict(message)!r:.80}"
            )
        try:
            message["content"].encode()
        except UnicodeEncodeError:
            raise InputError("the problem is not valid Unicode text; save it as UTF-8") from None
    last = messages[-1]
    if last["role"] == "user" and not last["content"].strip():
        raise InputError("the problem is empty; give the text of a problem")
    if last["role"] == "assistant" and (not last["content"].strip() or last.get("tool_calls")):
        raise InputError("the conversation ends with an assistant's message that has no text to go on with")
    return messages
