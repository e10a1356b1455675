"""From a request's body to what the session is asked: messages, settings, sampling, terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from specreason.config import (
    ReasoningSettings,
    SamplingSettings,
    Scheme,
    ServerSettings,
    Settings,
    decodes,
)
from specreason.engines.protocol import Engine, Message
from specreason.reasoning.chain import Role
from specreason.reasoning.terms import Terms
from specreason.server.errors import Refused
from specreason.server.wire import ChatRequest, Effort, InputMessage, Knobs

PAIR = "specreason"
# Knobs whose name in the settings differs, and those that are not settings of the method.
_RENAMED = {"judge": "judge_method"}
_NOT_SETTINGS = {"include_steps", "verifier"}


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that requests can name, the scheme that it stands for, and all those that it takes."""

    name: str
    scheme: Scheme
    schemes: Sequence[Scheme]
    models: Mapping[Role, str]


@dataclass(frozen=True, slots=True)
class SolveRequest:
    """One request, understood."""

    offer: Offer
    messages: Sequence[Message]
    reasoning: ReasoningSettings
    sampling: SamplingSettings
    terms: Terms
    choices: int
    stream: bool
    include_usage: bool
    include_steps: bool
    user: str | None

    def sampling_of(self, choice: int) -> SamplingSettings:
        """The sampling of one choice: a seed of its own, or all choices would be the same."""
        if self.sampling.seed is None or choice == 0:
            return self.sampling
        # Streams of one choice count the seed up from here; far apart, no two choices share any.
        seed = (self.sampling.seed + choice * 2**20) % 2**32
        return self.sampling.model_copy(update={"seed": seed})


def offers(
    engines: Mapping[Role, Engine], scheme: Scheme, *, decoder: Engine | None = None
) -> Mapping[str, Offer]:
    """The pair under the scheme of the settings, and each model alone under its own name."""
    known: tuple[Scheme, ...] = get_args(Scheme)
    schemes: list[Scheme] = [one for one in known if decoder is not None or not decodes(one)]
    models: dict[Role, str] = {role: engine.model for role, engine in engines.items()}
    alone: dict[str, Offer] = {}
    roles: tuple[Role, ...] = ("small", "base")  # two models of one name: the base model has it
    for role in roles:
        if role in models:
            alone[models[role]] = Offer(models[role], role, (role,), {role: models[role]})
    return {PAIR: Offer(PAIR, scheme, schemes, models), **alone}


def asked(body: ChatRequest, settings: Settings, on_offer: Mapping[str, Offer]) -> SolveRequest:
    """What `body` asks for. Raises Refused, which names the field."""
    offer = on_offer.get(body.model)
    if offer is None:
        raise Refused(
            f"no model '{body.model[:100]}' here; there are: {', '.join(on_offer)}",
            status=404,
            param="model",
            code="model_not_found",
        )
    knobs = body.specreason or Knobs()
    total = _total_tokens(body, settings.server)
    return SolveRequest(
        offer=offer,
        messages=[_message(n, message) for n, message in enumerate(body.messages)],
        reasoning=_reasoning(body, knobs, offer, settings),
        sampling=_sampling(body, settings.sampling),
        terms=Terms(_stops(body), total, settings.server.resume_within),
        choices=_choices(body, settings.server),
        stream=bool(body.stream),
        include_usage=_include_usage(body),
        include_steps=knobs.include_steps,
        user=body.user or body.safety_identifier,
    )


def _message(index: int, message: InputMessage) -> Message:
    content = message.content
    if content is None and message.role != "assistant":
        raise Refused(
            f"a {message.role} message needs content", param=f"messages.{index}.content", code="missing_field"
        )
    text = content if isinstance(content, str) else "".join(part.text for part in content or ())
    return {"role": "system" if message.role == "developer" else message.role, "content": text}


def _reasoning(body: ChatRequest, knobs: Knobs, offer: Offer, settings: Settings) -> ReasoningSettings:
    if knobs.scheme is not None and knobs.scheme not in offer.schemes:
        if offer.name == PAIR:
            raise Refused(
                f"scheme '{knobs.scheme}' is not to be had here: the server runs without token-level "
                "speculation (setting 'base.decode_url', or 'reasoning.scheme' with +decode); there are: "
                + ", ".join(offer.schemes),
                param="specreason.scheme",
                code="scheme_unavailable",
            )
        raise Refused(
            f"model '{offer.name}' stands for scheme '{offer.scheme}'; model '{PAIR}' takes any",
            param="specreason.scheme",
            code="conflicting_fields",
        )
    given = knobs.model_dump(exclude_none=True, exclude=_NOT_SETTINGS)
    changes: dict[str, Any] = {_RENAMED.get(name, name): value for name, value in given.items()}
    changes.setdefault("scheme", offer.scheme)
    limits = settings.server
    if knobs.token_budget is not None:
        if body.reasoning_effort is not None:
            raise Refused(
                "give reasoning_effort or specreason.token_budget, not both",
                param="specreason.token_budget",
                code="conflicting_fields",
            )
        if knobs.token_budget > limits.max_tokens:
            raise _too_many("specreason.token_budget", knobs.token_budget, limits)
    elif body.reasoning_effort is not None:
        changes["token_budget"] = min(_effort(body.reasoning_effort, limits), limits.max_tokens)
    # Who sets a total means it: the usual length of an answer does not come before it.
    if total := body.max_completion_tokens or body.max_tokens:
        changes.setdefault("answer_tokens", total)
    return settings.reasoning.model_copy(update=changes)


def _effort(level: Effort, limits: ServerSettings) -> int:
    budgets: Mapping[Effort, int] = {
        "none": 0,
        "minimal": limits.effort_minimal,
        "low": limits.effort_low,
        "medium": limits.effort_medium,
        "high": limits.effort_high,
        "xhigh": limits.effort_xhigh,
    }
    return budgets[level]


def _sampling(body: ChatRequest, default: SamplingSettings) -> SamplingSettings:
    given = {"temperature": body.temperature, "top_p": body.top_p, "seed": body.seed}
    return default.model_copy(update={name: value for name, value in given.items() if value is not None})


def _total_tokens(body: ChatRequest, limits: ServerSettings) -> int:
    new, old = body.max_completion_tokens, body.max_tokens
    if new is not None and old is not None and new != old:
        raise Refused(
            f"max_completion_tokens is {new} and max_tokens is {old}; give one of them",
            param="max_tokens",
            code="conflicting_fields",
        )
    total = new if new is not None else old
    if total is not None and total > limits.max_tokens:
        raise _too_many("max_completion_tokens" if new is not None else "max_tokens", total, limits)
    return limits.max_tokens if total is None else total


def _too_many(param: str, value: int, limits: ServerSettings) -> Refused:
    return Refused(
        f"'{param}' is {value}; this server allows at most {limits.max_tokens} (setting 'server.max_tokens')",
        param=param,
        code="too_many_tokens",
    )


def _choices(body: ChatRequest, limits: ServerSettings) -> int:
    wanted = body.n or 1
    if wanted > limits.max_choices:
        raise Refused(
            f"'n' is {wanted}; this server allows {limits.max_choices} (setting 'server.max_choices')",
            param="n",
            code="invalid_value",
        )
    return wanted


def _include_usage(body: ChatRequest) -> bool:
    if body.stream_options is None:
        return False
    if not body.stream:
        raise Refused(
            "'stream_options' goes with stream: true", param="stream_options", code="conflicting_fields"
        )
    return body.stream_options.include_usage


def _stops(body: ChatRequest) -> tuple[str, ...]:
    if isinstance(body.stop, str):
        return (body.stop,)
    return tuple(body.stop or ())
