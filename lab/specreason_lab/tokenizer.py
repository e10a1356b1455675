"""The pocket pair's tokenizer and chat format.

Byte-level BPE in the pre-tokenization of GPT-2, so that llama.cpp, vLLM and transformers all read it. What is
looked up as a whole is one token: a number up to 99, an operator with its number (` +17`), a step's label
(`3)`), which finds its line in the problem. So is the judge's question, as cheap to ask as one can be.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from specreason.reasoning.prompts import INLINE_JUDGE, INSTRUCTION
from specreason_lab.problems import FACTORS, MODULUS, Problem, problems, reply

END, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
BLANK_LINE = "\n\n"
CONTROL = (END, TURN, TURN_END)
LABELS = tuple(f"{number})" for number in range(1, 21))
_LENGTHS, _MIX = (3, 12), (6, 3, 1)  # of the problems whose texts the merges are learned from
WITH_NUMBER = tuple(
    [f" {sign}{number}" for sign in "+-" for number in range(1, MODULUS)]
    + [f" *{factor}" for factor in range(2, FACTORS[1] + 1)]
)
# Tokens that are also plain text.
MARKS = (
    THINK_OPEN,
    THINK_CLOSE,
    BLANK_LINE,
    INLINE_JUDGE,
    *LABELS,
    *WITH_NUMBER,
)

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- set text = message.content -%}
{%- if message.role == 'assistant' and '</think>' in text -%}
{%- set text = text.split('</think>')[-1].strip() -%}
{%- endif -%}
{{- '<|im_start|>' + message.role + '\\n' + text + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n<think>\\n' -}}{%- endif -%}
"""


def train_tokenizer(sample: Iterable[str], size: int) -> Tokenizer:
    """Learn the merges from texts of the lab's own, up to `size` tokens in all."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        sample,
        trainers.BpeTrainer(
            vocab_size=size - len(CONTROL) - len(MARKS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in CONTROL])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in MARKS])
    return tokenizer


def make_tokenizer(path: Path, size: int) -> Tokenizer:
    """The tokenizer at `path`, made there if it is not yet; the same on every machine."""
    if not path.exists():
        source = problems(0, "train", _LENGTHS, _MIX)
        texts = [text for _ in range(4000) for text in _texts(next(source))]
        texts += [f"system\nuser\nassistant\n{INSTRUCTION}"] * 500
        texts += [f"{space}{number}" for number in range(100) for space in ("", " ") for _ in range(500)]
        tokenizer = train_tokenizer(texts, size)
        for number in range(100):
            assert len(tokenizer.encode(str(number)).ids) == len(tokenizer.encode(f" {number}").ids) == 1
        path.parent.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(path))
    return Tokenizer.from_file(str(path))


def _texts(problem: Problem) -> list[str]:
    return [problem.text, "".join(problem.steps), reply(problem.answer)]


def opened(question: str) -> str:
    """The prompt up to where the model starts to think."""
    return f"{TURN}user\n{question}{TURN_END}\n{TURN}assistant\n{THINK_OPEN}\n"


def encode(tokenizer: Tokenizer, text: str) -> Sequence[int]:
    """Token ids of a text; control tokens are read as such."""
    return tokenizer.encode(text, add_special_tokens=False).ids
