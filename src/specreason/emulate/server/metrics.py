"""GET /metrics of an emulated server, under vLLM's names."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from specreason.emulate.server.model import Model


class _Counted(Collector):
    """What the model's hardware says at the moment of asking."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        worker = self._model.worker
        for name, help_text, value in (
            ("num_requests_running", "Sequences in the current batch", worker.running),
            ("num_requests_waiting", "Sequences that wait for the batch", worker.waiting),
        ):
            gauge = GaugeMetricFamily(f"vllm:{name}", f"{help_text} (emulation).", labels=["model_name"])
            gauge.add_metric([self._model.name], value)
            yield gauge
        for name, help_text, value in (
            ("prefix_cache_queries", "Prompt tokens looked up in the prefix cache", worker.cache.queries),
            ("prefix_cache_hits", "Prompt tokens found in the prefix cache", worker.cache.hits),
            ("generation_tokens", "Tokens decoded", worker.tokens),
        ):
            counter = CounterMetricFamily(f"vllm:{name}", f"{help_text} (emulation).", labels=["model_name"])
            counter.add_metric([self._model.name], value)
            yield counter


def registry_of(model: Model) -> CollectorRegistry:
    """The metrics of one emulated server."""
    registry = CollectorRegistry()
    registry.register(_Counted(model))
    return registry


def page(registry: CollectorRegistry) -> bytes:
    """The metrics as Prometheus reads them."""
    return generate_latest(registry)
