"""The `specreason` object of a request: the method's settings."""

from typing import Annotated, Literal

from pydantic import Field

from specreason.config import Scheme
from specreason.server.fields import NotNegative, Positive, Strict


class Knobs(Strict):
    """The method's settings for this request; what is left out is as the server's settings say."""

    scheme: Annotated[Scheme | None, Field(description="Only with the model `specreason`.")] = None
    threshold: Annotated[float | None, Field(ge=0, le=9, description="A draft stands at this score.")] = None
    first_n_base_steps: Annotated[NotNegative | None, Field(description="Steps by the base model first.")] = (
        None
    )
    token_budget: Annotated[
        NotNegative | None,
        Field(description="Thinking tokens, 0 for none; not together with `reasoning_effort`."),
    ] = None
    budget_counts: Annotated[
        Literal["kept", "generated"] | None, Field(description="Whether discarded drafts count too.")
    ] = None
    answer_tokens: Annotated[
        Positive | None,
        Field(description="Longest answer; if left out, `max_completion_tokens` bounds it."),
    ] = None
    max_step_tokens: Annotated[Positive | None, Field(description="A step is cut here.")] = None
    end_on_answer: Annotated[
        bool | None, Field(description="A step that states the answer ends thinking.")
    ] = None
    answer_by: Annotated[Literal["base", "small"] | None, Field(description="Who writes the answer.")] = None
    judge: Annotated[
        Literal["greedy", "expected"] | None, Field(description="How the score is read (`judge_method`).")
    ] = None
    judge_prompt: Annotated[
        Literal["auto", "paper", "inline"] | None, Field(description="How the score is asked for.")
    ] = None
    instruction: Annotated[str | None, Field(description="Added after the problem; empty adds nothing.")] = (
        None
    )
    verifier: Annotated[
        Literal["base"] | None, Field(description="Who verifies drafts; the base model is the only one yet.")
    ] = None
    speculate: Annotated[
        Literal["always", "auto"] | None, Field(description="auto drafts only where it pays.")
    ] = None
    lookahead: Annotated[
        int | None, Field(ge=0, le=16, description="Steps that the drafts run ahead of the verdict.")
    ] = None
    drafts_per_step: Annotated[
        int | None, Field(ge=1, le=16, description="Drafts of each step; the best that stands is kept.")
    ] = None
    hedge: Annotated[
        bool | None, Field(description="The base model begins its own step while a draft is judged.")
    ] = None
    salvage: Annotated[
        bool | None, Field(description="The beginning of a rejected draft stays, up to its mistake.")
    ] = None
    include_steps: Annotated[
        bool, Field(description="Tell each step: text, author, score, verdict, timings.")
    ] = False
