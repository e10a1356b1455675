"""The accepted steps, and for each model the exact prompt that they make: append-only, never re-tokenised."""

from collections.abc import Mapping
from dataclasses import dataclass

from specreason.config.scheme import Role
from specreason.engines.protocol import Engine, Prompt, Segment
from specreason.reasoning.repetition import REMEMBERED
from specreason.reasoning.steps import Step, normalised


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """The kept steps so far. `prompts`: what each model in use has been given, the kept steps included.

    Compared by identity: the end of a chain is one place, whatever leads to another one like it.
    """

    prompts: Mapping[Role, Prompt]
    length: int = 0
    tokens: int = 0
    last: Step | None = None
    recent: tuple[str, ...] = ()  # the latest steps' texts, white space folded, newest last

    def plus(self, step: Step, segments: Mapping[Role, Segment]) -> "Chain":
        """This chain with one more step; `segments` is the step as each model reads it."""
        return Chain(
            prompts={role: prompt.plus(segments[role]) for role, prompt in self.prompts.items()},
            length=self.length + 1,
            tokens=self.tokens + step.tokens,
            last=step,
            recent=(*self.recent, normalised(step.text))[-REMEMBERED:],
        )


async def read_by(reader: Engine, step: Step, author: Engine) -> Segment:
    """The step as `reader` takes it: its author's tokens if they share a vocabulary, else its text anew."""
    if not reader.capabilities.token_prompts:
        return await reader.tokenize(step.text)
    if step.ids is not None and reader.vocabulary == author.vocabulary:
        return step.segment
    return await reader.tokenize(step.text)


def check_chain(chain: Chain) -> None:
    """Raise AssertionError if the models' prompts do not end alike; cheap enough to call after each step."""
    if chain.last is None:
        return
    for role, prompt in chain.prompts.items():
        read = prompt.segments[-1].text.replace("\u2060", "")
        assert read == chain.last.text.replace("\u2060", ""), f"{role} reads another step than was kept"
