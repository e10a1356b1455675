"""The rule of Lookahead Reasoning (arXiv 2506.19830): the base model writes its own version of every step.

A draft is accepted if it says the same; else the base model's own step, which is there already, is kept. (The
paper compares meanings with a judge or an encoder; here two texts are the same if they differ in white space
only.)
"""

from dataclasses import dataclass

from specreason import (
    Accept,
    Context,
    Drafts,
    More,
    PolicySpec,
    Reject,
    Signal,
    Signals,
    StepStart,
    Task,
    Write,
)
from specreason.config.knobs import Section
from specreason.reasoning.steps import Step


async def write(context: Context) -> Step:
    return await context.write("base")


@dataclass(frozen=True)
class LookaheadReasoning:
    own_step: Signal[Step]

    def author(self, start: StepStart, known: Signals) -> Write | More:
        return Write("small")

    def verdict(self, drafts: Drafts, known: Signals) -> Accept | Reject | More:
        own = known.get(self.own_step)
        if own is None:
            return More(self.own_step)
        same = [number for number, step in enumerate(drafts.steps) if step.text.split() == own.text.split()]
        return Accept(same[0], len(same)) if same else Reject("different", instead=own)


def make(knobs: Section, task: Task) -> LookaheadReasoning:
    return LookaheadReasoning(Signal("base_step", "base", write, of="place"))


POLICY = PolicySpec(
    "lookahead_reasoning",
    Section,
    make,
    repairs=("rewrite",),  # a hedge would write the base model's step twice
    source="arXiv 2506.19830",
)
