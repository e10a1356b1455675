"""Prometheus metrics: what happened in all requests (docs/serving.md lists them)."""

import time
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from specreason.reasoning.events import (
    AnswerDelta,
    CallEnded,
    Event,
    Failed,
    Fallback,
    Interrupted,
    SignalMeasured,
    StepKept,
    StepRejected,
)
from specreason.reasoning.records import StepRecord
from specreason.server.choices import Solving

_LONG = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1800)
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_VALUES = (-5.0, -2.0, -1.0, -0.5, -0.2, -0.1, 0.0, 0.1, 0.25, 0.5, 0.75, 0.9, *map(float, range(1, 10)))


class Metrics:
    """All metrics of one server, in a registry of their own. Times are in seconds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self.requests = self._counter("requests", "Requests by how they ended", "model", "status", "outcome")
        self.request_s = self._histogram("request_seconds", "From request to last byte", _LONG, "model")
        self.first_step_s = self._histogram(
            "first_step_seconds", "From request to the first kept step", _LONG, "model"
        )
        self.first_answer_s = self._histogram(
            "first_answer_seconds", "From request to the first token of the answer", _LONG, "model"
        )
        self.step_interval_s = self._histogram(
            "step_interval_seconds", "Between two kept steps", _LONG, "model"
        )
        self.queue_s = self._histogram("queue_seconds", "Waiting in the queue", _LONG, "model")
        self.overhead_s = self._histogram("overhead_seconds", "Time spent in this server", _SHORT, "model")
        self.steps = self._counter("steps", "Kept steps by author", "model", "author")
        self.drafts = self._counter("drafts", "Judged drafts by verdict", "model", "verdict")
        self.signals = self._histogram(
            "signal",
            "Values of signals: scores, shares, log-probabilities",
            _VALUES,
            "model",
            "signal",
        )
        self.signal_s = self._histogram("signal_seconds", "Measuring a signal", _SHORT, "model", "signal")
        self.generated = self._counter("generated_tokens", "Tokens generated", "role", "phase")
        self.delivered = self._counter(
            "delivered_tokens", "Tokens that went into steps or answers", "role", "phase"
        )
        self.prompt = self._counter(
            "prompt_tokens", "Prompt tokens of calls that report how much was cached", "role"
        )
        self.conversations = self._counter(
            "conversation_tokens", "Tokens of the conversations, as in usage.prompt_tokens", "model"
        )
        self.cached = self._counter("cached_tokens", "Prompt tokens that were in the cache", "role")
        self.token_drafts = self._counter(
            "token_drafts", "Tokens drafted inside an engine, by whether they were kept", "role", "kept"
        )
        self.engine_s = self._histogram("engine_call_seconds", "One engine call", _LONG, "role", "phase")
        self.engine_errors = self._counter("engine_errors", "Engine failures", "kind")
        self.degraded = self._counter("degraded", "Choices that went on without the small model", "model")
        self.interruptions = self._counter("interruptions", "Waits for a base model that failed", "model")

    def visited(self, status: int, outcome: str, solving: Solving | None) -> None:
        """A request is over; `solving` if there was something to solve."""
        model = solving.asked.offer.name if solving is not None else ""
        self.requests.labels(model, str(status), outcome).inc()
        if solving is not None:
            self.request_s.labels(model).observe(solving.total_s)
            self.queue_s.labels(model).observe(solving.queue_s)
            self.overhead_s.labels(model).observe(solving.overhead_s)
            prompt = max((account.prompt_tokens for account in solving.accounts), default=0)
            self.conversations.labels(model).inc(prompt)

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A metric whose value is read when the page is made."""
        Gauge(f"specreason_{name}", meaning, registry=self._registry).set_function(read)

    def page(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"specreason_{name}", meaning, labels, registry=self._registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"specreason_{name}", meaning, labels, buckets=buckets, registry=self._registry)


class RequestMetrics:
    """Counts the events of one request (a Watcher)."""

    def __init__(self, metrics: Metrics, model: str, began: float) -> None:
        self._metrics = metrics
        self._model = model
        self._began = began
        self._last_step: dict[int, float] = {}
        self._answering: set[int] = set()

    def take(self, choice: int, event: Event) -> None:
        """See `Watcher`."""
        metrics, model = self._metrics, self._model
        match event:
            case SignalMeasured(name=name, value=value):
                metrics.signal_s.labels(model, name).observe(event.seconds)
                if value is not None:
                    metrics.signals.labels(model, name).observe(value)
            case StepRejected():
                metrics.drafts.labels(model, f"rejected_{event.reason}").inc()
            case StepKept(step=step):
                self._step(choice, step)
            case AnswerDelta() if choice not in self._answering:
                self._answering.add(choice)
                metrics.first_answer_s.labels(model).observe(time.perf_counter() - self._began)
            case CallEnded():
                self._call(event)
            case Fallback():
                metrics.degraded.labels(model).inc()
                metrics.engine_errors.labels("fallback").inc()
            case Interrupted():
                metrics.interruptions.labels(model).inc()
            case Failed():
                metrics.engine_errors.labels(event.error).inc()
            case _:
                pass

    def _step(self, choice: int, step: StepRecord) -> None:
        now, model = time.perf_counter(), self._model
        before = self._last_step.get(choice)
        if before is None:
            self._metrics.first_step_s.labels(model).observe(now - self._began)
        else:
            self._metrics.step_interval_s.labels(model).observe(now - before)
        self._last_step[choice] = now
        self._metrics.steps.labels(model, step.author).inc()
        if step.outcome == "accepted":
            self._metrics.drafts.labels(model, "accepted").inc()

    def _call(self, event: CallEnded) -> None:
        metrics = self._metrics
        metrics.generated.labels(event.role, event.phase).inc(event.generated_tokens)
        metrics.delivered.labels(event.role, event.phase).inc(event.delivered_tokens)
        metrics.engine_s.labels(event.role, event.phase).observe(event.seconds)
        if event.token_drafts is not None:
            kept = event.token_drafts_kept or 0
            metrics.token_drafts.labels(event.role, "yes").inc(kept)
            metrics.token_drafts.labels(event.role, "no").inc(event.token_drafts - kept)
        if event.cached_tokens is not None and event.prompt_tokens is not None:
            metrics.prompt.labels(event.role).inc(event.prompt_tokens)
            metrics.cached.labels(event.role).inc(event.cached_tokens)
