"""The thinking budget of a request, whichever of the usual fields sets it."""

from collections.abc import Iterator

from specreason.config import ServerSettings
from specreason.server.errors import Refused, conflict
from specreason.server.wire import ChatRequest, Effort


def thinking_budget(body: ChatRequest, limits: ServerSettings) -> int | None:
    """The thinking budget in tokens, None if no field sets it. Raises Refused for two that differ."""
    budgets: dict[str, int] = {}
    for param, tokens in _budgets(body, limits):
        for other, known in budgets.items():
            if known != tokens:
                message = f"'{other}' sets {known} thinking tokens, '{param}' sets {tokens}; give one of them"
                raise conflict(param, message)
        budgets[param] = tokens
    return next(iter(budgets.values()), None)


def _budgets(body: ChatRequest, limits: ServerSettings) -> Iterator[tuple[str, int]]:
    """Each field of the request that sets a budget, and the budget (tokens)."""
    own: int | None = body.specreason.given().get("token_budget") if body.specreason else None
    if own is not None and own > limits.max_tokens:
        raise Refused(
            f"'specreason.token_budget' is {own}; this server allows at most {limits.max_tokens} (setting "
            "'server.max_tokens')",
            param="specreason.token_budget",
            code="too_many_tokens",
        )
    unlimited = body.thinking_token_budget == -1
    asked: dict[str, int | None] = {
        "reasoning_effort": _effort(body.reasoning_effort, limits),
        "thinking_token_budget": None if unlimited else body.thinking_token_budget,
        **_switched(body),
        "specreason.token_budget": own,
    }
    if (openrouter := body.reasoning) is not None:
        asked["reasoning.effort"] = _effort(openrouter.effort, limits)
        asked["reasoning.max_tokens"] = openrouter.max_tokens
    if body.thinking is not None and body.thinking.type != "disabled":
        asked["thinking.budget_tokens"] = body.thinking.budget_tokens
    for param, tokens in asked.items():
        if tokens is not None:
            yield param, min(tokens, limits.max_tokens)


def _switched(body: ChatRequest) -> dict[str, int | None]:
    """The switches that turn thinking off; turned on they ask for nothing in particular."""
    options = body.chat_template_kwargs
    off = {
        "chat_template_kwargs.enable_thinking": options is not None and options.enable_thinking is False,
        "chat_template_kwargs.thinking": options is not None and options.thinking is False,
        "thinking.type": body.thinking is not None and body.thinking.type == "disabled",
        "reasoning.enabled": body.reasoning is not None and body.reasoning.enabled is False,
    }
    return {param: 0 if is_off else None for param, is_off in off.items()}


def _effort(level: Effort | None, limits: ServerSettings) -> int | None:
    if level is None:
        return None
    budgets: dict[Effort, int] = {
        "none": 0,
        "minimal": limits.effort_minimal,
        "low": limits.effort_low,
        "medium": limits.effort_medium,
        "high": limits.effort_high,
        "xhigh": limits.effort_xhigh,
        "max": limits.max_tokens,
    }
    return budgets[level]
