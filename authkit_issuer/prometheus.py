"""The numbers of a service for Prometheus; needs ``prometheus-client``.

    from prometheus_client import REGISTRY
    from authkit_issuer.prometheus import ServiceCollector

    collector = ServiceCollector()
    REGISTRY.register(collector)
    service = await Service.open(config, telemetry=collector)

``authkit serve --metrics-port`` needs none of this.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from authkit_issuer.telemetry.measurements import BUCKETS, BY_NAME, MEASUREMENTS, Measurement
from authkit_issuer.telemetry.tally import Numbers, Tally

__all__ = ["ServiceCollector"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The media type of what ``exposition`` writes."""

_BOUNDS = (*map(str, BUCKETS), "+Inf")


class ServiceCollector(Tally, Collector):
    """A ``Telemetry`` that a registry of Prometheus reads; one service for each."""

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics whose names this collector takes: a registry refuses a second one."""
        return families({})

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its current value."""
        return families(dict(self.numbers))  # a registry may read in another thread


def families(numbers: Numbers) -> Iterator[Metric]:
    """Yield a family for each measurement."""
    by_name: dict[str, list[tuple[tuple[str, ...], list[float]]]] = {name: [] for name in BY_NAME}
    for (name, *labels), values in sorted(numbers.items()):
        by_name[name].append((tuple(labels), values))
    for measurement in MEASUREMENTS:
        yield _family(measurement, by_name[measurement.name])


def _family(measurement: Measurement, found: list[tuple[tuple[str, ...], list[float]]]) -> Metric:
    arguments = (measurement.name, measurement.help)
    if measurement.kind == "histogram":
        histogram = HistogramMetricFamily(*arguments, labels=measurement.labels)
        for labels, (*counts, total) in found:
            histogram.add_metric(labels, list(zip(_BOUNDS, _running(counts), strict=True)), total)
        return histogram
    kind = CounterMetricFamily if measurement.kind == "counter" else GaugeMetricFamily
    family = kind(*arguments, labels=measurement.labels)
    for labels, (value,) in found:
        family.add_metric(labels, value)
    return family


def _running(counts: list[float]) -> Iterator[float]:
    total = 0.0
    for count in counts:
        total += count
        yield total


def exposition(numbers: Numbers) -> bytes:
    """Write numbers in Prometheus' text format."""

    class Given(Collector):
        def collect(self) -> Iterator[Metric]:
            return families(numbers)

    registry = CollectorRegistry()
    registry.register(Given())
    return generate_latest(registry)
