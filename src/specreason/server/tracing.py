"""OpenTelemetry: the caller's trace goes on to the model servers; spans if a collector is configured.

Spans: request > step > draft, one for each signal, rewrite; request > answer. Attribute names are those of
the GenAI conventions where they have one, else `specreason.*`. Texts of problems and answers are never
attributes.
"""

import os
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from specreason.config.scheme import Role
from specreason.errors import ConfigError
from specreason.reasoning.events import (
    CallEnded,
    Event,
    Failed,
    Fallback,
    Finished,
    Interrupted,
    SignalMeasured,
    Started,
    StepDrafted,
    StepKept,
    StepRejected,
    ThinkingEnded,
)
from specreason.reasoning.records import StepRecord
from specreason.server.account import Account
from specreason.server.request import SolveRequest

_EXPORTER_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_propagator = TraceContextTextMapPropagator()


def configured_tracer() -> Tracer:
    """A tracer that exports if OpenTelemetry's own variables name a collector.

    Else the tracer of the surrounding program, or one that only passes contexts on. Raises ConfigError
    if a collector is named and the extra `tracing` is not installed.
    """
    if any(os.environ.get(name) for name in _EXPORTER_VARIABLES):
        try:
            sdk: Any = import_module("opentelemetry.sdk.trace")
            export: Any = import_module("opentelemetry.sdk.trace.export")
            otlp: Any = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            resources: Any = import_module("opentelemetry.sdk.resources")
        except ImportError:
            raise ConfigError(
                f"{_EXPORTER_VARIABLES[0]} is set; sending traces needs: pip install 'specreason[tracing]'"
            ) from None
        os.environ.setdefault("OTEL_SERVICE_NAME", "specreason")
        provider = sdk.TracerProvider(resource=resources.Resource.create())
        provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    return trace.get_tracer("specreason")


class RequestTrace:
    """The spans of one request (a Watcher)."""

    def __init__(self, tracer: Tracer, asked: SolveRequest, headers: Mapping[str, str]) -> None:
        self._tracer = tracer
        self._span = tracer.start_span(
            f"chat {asked.offer.name}",
            context=_propagator.extract(headers),
            kind=SpanKind.SERVER,
            attributes=_request_attributes(asked),
        )
        self._choices: dict[int, _ChoiceTrace] = {}

    @property
    def onward(self) -> Mapping[str, str]:
        """The headers that make a model server's spans children of this request's."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(self._span))
        return carrier

    def take(self, choice: int, event: Event) -> None:
        """See `Watcher`."""
        if not self._span.is_recording():
            return
        if choice not in self._choices:
            self._choices[choice] = _ChoiceTrace(self._tracer, self._span, choice)
        self._choices[choice].take(event)

    def end(self, accounts: list[Account], outcome: str) -> None:
        """Close the request's span; `outcome` is `ok` or what went wrong."""
        for choice in self._choices.values():
            choice.end()
        self._span.set_attributes(
            {
                "gen_ai.response.finish_reasons": [account.finish_reason for account in accounts],
                "gen_ai.usage.input_tokens": max(account.prompt_tokens for account in accounts),
                "gen_ai.usage.output_tokens": sum(account.completion_tokens for account in accounts),
            }
        )
        if outcome != "ok":
            self._span.set_attribute("error.type", outcome)
            self._span.set_status(StatusCode.ERROR, outcome)
        self._span.end()


class _ChoiceTrace:
    """The spans of one choice, made when the events show that they are over."""

    def __init__(self, tracer: Tracer, request: Span, index: int) -> None:
        self._tracer = tracer
        self._request = request
        self._index = index
        self._models: Mapping[str, str] = {}
        self._step: Span | None = None
        self._answer: Span | None = None

    def take(self, event: Event) -> None:
        match event:
            case Started():
                self._models = {**event.models}
            case StepDrafted():
                self._work("draft", "small", event.seconds, event.tokens)
            case SignalMeasured():
                self._measured(event)
            case StepRejected():
                self._opened(0.0).set_attribute("specreason.rejection", event.reason)
            case StepKept(step=step):
                self._kept(step)
            case ThinkingEnded():
                self._answer = self._child("answer", self._request, 0.0)
                self._request.set_attribute("specreason.ended", event.reason)
            case CallEnded(phase="answer"):
                self._answered(event)
            case Finished():
                self.end()
            case Fallback() | Interrupted():
                self._request.add_event(event.event, {"reason": event.reason})
            case Failed():
                self._request.add_event("failed", {"error.type": event.error})
            case _:
                pass

    def end(self) -> None:
        """Close what is open."""
        for span in (self._step, self._answer):
            if span is not None:
                span.end()
        self._step = self._answer = None

    def _kept(self, kept: StepRecord) -> None:
        if "rewrite" in kept.seconds:
            self._work("rewrite", "base", kept.seconds["rewrite"], kept.base_tokens)
        step = self._opened(kept.seconds.get("base", 0.0))
        step.set_attributes(
            {
                "specreason.step": kept.index,
                "specreason.author": kept.author,
                "specreason.origin": kept.origin,
                "gen_ai.usage.output_tokens": kept.tokens,
            }
        )
        step.end()
        self._step = None

    def _measured(self, event: SignalMeasured) -> None:
        span = self._child(event.name, self._opened(event.seconds), event.seconds)
        if event.value is not None:
            span.set_attribute("specreason.value", event.value)
        span.end()

    def _answered(self, event: CallEnded) -> None:
        if self._answer is not None:
            self._answer.set_attributes(
                {
                    "gen_ai.request.model": self._models.get(event.role, ""),
                    "gen_ai.usage.output_tokens": event.delivered_tokens,
                }
            )

    def _work(self, name: str, role: Role, seconds: float, tokens: int) -> None:
        span = self._child(name, self._opened(seconds), seconds)
        span.set_attributes(
            {
                "gen_ai.operation.name": "text_completion",
                "gen_ai.request.model": self._models.get(role, ""),
                "gen_ai.usage.output_tokens": tokens,
            }
        )
        span.end()

    def _opened(self, ago_s: float) -> Span:
        """The span of the step at hand, which began `ago_s` seconds ago if it is new."""
        if self._step is None:
            self._step = self._child("step", self._request, ago_s)
            self._step.set_attribute("specreason.choice", self._index)
        return self._step

    def _child(self, name: str, parent: Span, ago_s: float) -> Span:
        began = time.time_ns() - int(ago_s * 1e9)
        return self._tracer.start_span(name, context=trace.set_span_in_context(parent), start_time=began)


def _request_attributes(asked: SolveRequest) -> dict[str, str | int | float]:
    sampling = asked.sampling
    attributes: dict[str, str | int | float | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "specreason",
        "gen_ai.request.model": asked.offer.name,
        "gen_ai.request.max_tokens": asked.options.max_tokens,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.seed": sampling.seed,
        "gen_ai.request.choice.count": asked.choices,
        "specreason.scheme": str(asked.reasoning.scheme),
    }
    return {name: value for name, value in attributes.items() if value is not None}
