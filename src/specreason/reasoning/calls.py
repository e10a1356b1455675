"""The account of one engine call."""

from specreason.engines.protocol import Finish, Usage
from specreason.reasoning.chain import Role
from specreason.reasoning.events import CallEnded, Phase


def call_ended(
    role: Role,
    phase: Phase,
    usage: Usage,
    seconds: float,
    finish: Finish,
    *,
    delivered: int | None = None,
    at: float = 0.0,
) -> CallEnded:
    """The event of a call that is over; `seconds` waited, `delivered` tokens of it used (None: all)."""
    generated = usage.generated_tokens
    return CallEnded(
        at=at,
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
    )
