"""From a request's body to what the session is asked: messages, settings, sampling, options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specreason.config import (
    ReasoningSettings,
    SamplingSettings,
    Scheme,
    ServerSettings,
    Settings,
)
from specreason.config.knobs import Section
from specreason.config.scheme import Role, known_schemes
from specreason.engines.protocol import Engine, Message
from specreason.errors import ConfigError
from specreason.preparation import check_combination, policy_named
from specreason.reasoning.options import RunOptions
from specreason.server.answer_form import AnswerForm, answer_form
from specreason.server.effort import thinking_budget
from specreason.server.errors import Refused, conflict
from specreason.server.messages import conversation
from specreason.server.overrides import overridden
from specreason.server.wire import ChatRequest

PAIR = "specreason"
_SEEDS = 2**32  # what every engine takes


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that requests can name, its default scheme, and all schemes that it accepts.

    `context`: tokens that conversation, thinking and answer share. `constraints`: the kinds that the
    engine of each model can enforce.
    """

    name: str
    scheme: Scheme
    schemes: Sequence[Scheme]
    models: Mapping[Role, str]
    context: int
    constraints: Mapping[Role, frozenset[str]]


@dataclass(frozen=True, slots=True)
class SolveRequest:
    """One request, checked. `running_usage`: usage in each chunk of a stream, not only the last."""

    offer: Offer
    messages: Sequence[Message]
    reasoning: ReasoningSettings
    policy: Section
    sampling: SamplingSettings
    options: RunOptions
    form: AnswerForm
    choices: int
    stream: bool
    include_usage: bool
    running_usage: bool
    include_steps: bool
    include_thinking: bool
    one_call: bool
    user: str | None

    def sampling_of(self, choice: int) -> SamplingSettings:
        """The sampling of one choice: a seed of its own, or all choices would be the same."""
        if self.sampling.seed is None or choice == 0:
            return self.sampling
        # Streams of one choice count the seed up from here; far apart, no two choices share any.
        seed = (self.sampling.seed + choice * 2**20) % _SEEDS
        return self.sampling.model_copy(update={"seed": seed})


def offers(
    engines: Mapping[Role, Engine], scheme: Scheme, *, decoder: Engine | None = None
) -> Mapping[str, Offer]:
    """The pair under the scheme of the settings, and each model alone under its own name."""
    known = [Scheme.parse(name) for name in known_schemes()]
    schemes = [one for one in known if decoder is not None or not one.decode]
    models: dict[Role, str] = {role: engine.model for role, engine in engines.items()}
    forms: Mapping[Role, frozenset[str]] = {
        role: frozenset(engine.capabilities.constraints) for role, engine in engines.items()
    }
    contexts = {role: engine.context_length for role, engine in engines.items()}
    alone: dict[str, Offer] = {}
    roles: tuple[Role, ...] = ("small", "base")  # two models of one name: the base model has it
    for role in roles:
        if role in models:
            one: Mapping[Role, str] = {role: models[role]}
            scheme_alone = Scheme(role)
            alone[models[role]] = Offer(
                models[role], scheme_alone, (scheme_alone,), one, contexts[role], forms
            )
    return {PAIR: Offer(PAIR, scheme, schemes, models, min(contexts.values()), forms), **alone}


def asked(body: ChatRequest, settings: Settings, on_offer: Mapping[str, Offer]) -> SolveRequest:
    """What `body` asks for. Raises Refused, which names the field."""
    name = PAIR if body.model is None else body.model
    offer = on_offer.get(name)
    if offer is None:
        raise Refused(
            f"no model '{name[:100]}'; available: {', '.join(on_offer)}",
            status=404,
            param="model",
            code="model_not_found",
        )
    _check_end(body)
    form = answer_form(body)
    reasoning = _reasoning(body, offer, settings, form)
    _check_form(form, offer, reasoning)
    options = body.stream_options
    return SolveRequest(
        offer=offer,
        messages=conversation(body.messages),
        reasoning=reasoning,
        policy=_policy(body, reasoning, settings),
        sampling=_sampling(body, settings.sampling),
        options=RunOptions(
            _stops(body),
            _total_tokens(body, settings.server),
            settings.server.resume_within,
            form.constraint,
            form.tools,
        ),
        form=form,
        choices=_choices(body, settings.server),
        stream=bool(body.stream),
        include_usage=_include_usage(body),
        running_usage=options is not None and bool(options.continuous_usage_stats),
        include_steps=body.specreason is not None and body.specreason.include_steps,
        include_thinking=_include_thinking(body),
        one_call=body.parallel_tool_calls is False,
        user=body.user or body.safety_identifier,
    )


def _check_end(body: ChatRequest) -> None:
    """Check vLLM's fields that say whether the last message is continued."""
    prefilled = body.messages[-1].role == "assistant"
    if body.continue_final_message and not prefilled:
        message = "'continue_final_message' needs an assistant message at the end of 'messages'"
        raise conflict("continue_final_message", message)
    if body.add_generation_prompt is False and not prefilled:
        raise Refused(
            "'add_generation_prompt' may be false only if 'messages' ends with an assistant message",
            param="add_generation_prompt",
            code="unsupported_field",
        )


def _check_form(form: AnswerForm, offer: Offer, reasoning: ReasoningSettings) -> None:
    if form.constraint is None:
        return
    wanted: Role = reasoning.scheme.alone or reasoning.answer_by
    role: Role = wanted if wanted in offer.models else next(iter(offer.models))
    if form.constraint.kind not in offer.constraints[role]:
        raise Refused(
            f"'{form.field}' asks for structured output ({form.constraint.kind}), which the engine of the "
            f"{role} model does not support; leave it out and describe the format in the prompt",
            param=form.field,
            code="unsupported_field",
        )


def _reasoning(body: ChatRequest, offer: Offer, settings: Settings, form: AnswerForm) -> ReasoningSettings:
    given = body.specreason.given(exclude={"policy"}) if body.specreason else {}
    changes: dict[str, Any] = {"scheme": offer.scheme, **given}
    _check_scheme(Scheme.parse(changes["scheme"]), offer)
    budget = thinking_budget(body, settings.server)
    if budget is not None:
        changes["token_budget"] = budget
    # A total replaces the usual bound of an answer, which is also too short for JSON.
    total = body.max_completion_tokens or body.max_tokens
    if total or form.constraint or form.tools:
        changes.setdefault("answer_tokens", total or settings.server.max_tokens)
    return overridden(settings.reasoning, changes)


def _policy(body: ChatRequest, reasoning: ReasoningSettings, settings: Settings) -> Section:
    """The knobs of all policies. Raises Refused for a policy that does not go with the other settings."""
    try:
        check_combination(policy_named(reasoning.scheme.policy), reasoning, settings.models)
    except ConfigError as error:
        about = "on_reject" if "reasoning.on_reject" in str(error) else "scheme"
        raise Refused(str(error), param=f"specreason.{about}", code="conflicting_fields") from None
    given = body.specreason.given(include={"policy"}) if body.specreason else {}
    return overridden(settings.policy, given.get("policy", {}), "specreason.policy")


def _check_scheme(scheme: Scheme, offer: Offer) -> None:
    if scheme in offer.schemes:
        return
    if offer.name != PAIR:
        message = f"model '{offer.name}' always uses scheme '{offer.scheme}'; model '{PAIR}' accepts any"
        raise conflict("specreason.scheme", message)
    raise Refused(
        f"scheme '{scheme}' is not available: the server runs without token-level speculation (setting "
        "'base.decode_url', or 'reasoning.scheme' with +decode); available: "
        + ", ".join(map(str, offer.schemes)),
        param="specreason.scheme",
        code="scheme_unavailable",
    )


def _sampling(body: ChatRequest, default: SamplingSettings) -> SamplingSettings:
    given: dict[str, Any] = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": -1 if body.top_k == 0 else body.top_k,
        "min_p": body.min_p,
    }
    if body.seed == -1:
        given["seed"] = None
    elif body.seed is not None:
        given["seed"] = body.seed % _SEEDS
    kept = {name: value for name, value in given.items() if value is not None or name == "seed"}
    return default.model_copy(update=kept)


def _total_tokens(body: ChatRequest, limits: ServerSettings) -> int:
    """The bound of thinking and answer. More than the server allows is no error: clients ask for plenty."""
    new, old = body.max_completion_tokens, body.max_tokens
    if new is not None and old is not None and new != old:
        message = f"max_completion_tokens is {new} and max_tokens is {old}; give one of them"
        raise conflict("max_tokens", message)
    total = new if new is not None else old
    return limits.max_tokens if total is None else min(total, limits.max_tokens)


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
        raise conflict("stream_options", "'stream_options' needs stream: true")
    return bool(body.stream_options.include_usage)


def _include_thinking(body: ChatRequest) -> bool:
    return body.include_reasoning is not False and not (body.reasoning and body.reasoning.exclude)


def _stops(body: ChatRequest) -> tuple[str, ...]:
    if isinstance(body.stop, str):
        return (body.stop,)
    return tuple(body.stop or ())
