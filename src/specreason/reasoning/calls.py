"""The account of one engine call."""

from specreason.engines.protocol import Finish, Usage
from specreason.reasoning.events import CallEnded
from specreason.reasoning.records import Phase


def call_ended(
    role: str,
    phase: Phase,
    usage: Usage,
    seconds: float,
    finish: Finish,
    *,
    delivered: int | None = None,
    signal: str | None = None,
) -> CallEnded:
    """The event of a call that is over; `seconds` waited, `delivered` tokens of it used (None: all)."""
    generated = usage.generated_tokens
    return CallEnded(
        at=0.0,  # set when it is emitted
        role=role,
        phase=phase,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        generated_tokens=generated if delivered is None else max(generated, delivered),
        delivered_tokens=generated if delivered is None else delivered,
        seconds=seconds,
        prefill_s=usage.prefill_s,
        decode_s=usage.decode_s,
        finish=finish,
        token_drafts=usage.token_drafts,
        token_drafts_kept=usage.token_drafts_kept,
        signal=signal,
    )
