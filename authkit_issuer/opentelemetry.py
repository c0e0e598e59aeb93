"""The spans of a service for OpenTelemetry; needs ``opentelemetry-api``.

    from authkit_issuer.opentelemetry import OpenTelemetry

    service = await Service.open(config, telemetry=OpenTelemetry())

Requests, statements, calls of the ephemeral store, of login providers, webhooks, senders and the breach check
are spans; the numbers are metrics if there is a ``MeterProvider``. ``authkit serve --traces`` needs none of
this.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from authkit_issuer.ports.telemetry import Span, SpanKind, Telemetry
from authkit_issuer.telemetry.measurements import BUCKETS, MEASUREMENTS

__all__ = ["OpenTelemetry"]

_NAME = "authkit"
_KINDS = {"server": trace.SpanKind.SERVER, "client": trace.SpanKind.CLIENT}
_STATUS = "http.response.status_code"
_PARENT = {b"traceparent", b"tracestate"}
_propagator = TraceContextTextMapPropagator()


class OpenTelemetry:
    """A ``Telemetry`` that makes spans, and metrics unless another one takes the numbers."""

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        *,
        numbers: Telemetry | None = None,
    ) -> None:
        """Take the providers; by default those of the process.

        Args:
            tracer_provider: What makes the spans.
            meter_provider: What takes the numbers.
            numbers: What takes the numbers in its place, such as a ``ServiceCollector``.
        """
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        self._numbers = numbers or _Meters(meter_provider)

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """See ``Telemetry``."""
        self._numbers.count(name, amount, **labels)

    def observe(self, name: str, seconds: float, /, **labels: str) -> None:
        """See ``Telemetry``."""
        self._numbers.observe(name, seconds, **labels)

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        """See ``Telemetry``."""
        self._numbers.gauge(name, value, **labels)

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind,
        attributes: dict[str, str | int],
        /,
        *,
        parent: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Generator[Span]:
        """See ``Telemetry``."""
        carrier = {key.decode(): value.decode("latin-1") for key, value in parent if key in _PARENT}
        context = _propagator.extract(carrier) if carrier else None
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=_KINDS[kind],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield _Span(span)
            except BaseException as error:
                _fail(span, type(error).__name__)
                raise


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        context = self._span.get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else ""

    def set(self, key: str, value: str | float) -> None:
        self._span.set_attribute(key, value)
        if key == _STATUS and float(value) >= 500:
            _fail(self._span, str(value))


def _fail(span: trace.Span, kind: str) -> None:
    """Mark a span as failed, by its class or status alone."""
    span.set_attribute("error.type", kind)
    span.set_status(trace.StatusCode.ERROR)


class _Meters:
    """The numbers as metrics of OpenTelemetry."""

    def __init__(self, provider: metrics.MeterProvider | None) -> None:
        meter = metrics.get_meter(_NAME, meter_provider=provider)
        self._counters: dict[str, metrics.Counter] = {}
        self._histograms: dict[str, metrics.Histogram] = {}
        self._gauges: dict[str, metrics._Gauge] = {}
        for entry in MEASUREMENTS:
            unit = "s" if entry.name.endswith("_seconds") else "1"
            if entry.kind == "counter":
                self._counters[entry.name] = meter.create_counter(entry.name, unit, entry.help)
            elif entry.kind == "gauge":
                self._gauges[entry.name] = meter.create_gauge(entry.name, unit, entry.help)
            else:
                self._histograms[entry.name] = meter.create_histogram(
                    entry.name, unit, entry.help, explicit_bucket_boundaries_advisory=BUCKETS
                )

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        self._counters[name].add(amount, labels)

    def observe(self, name: str, seconds: float, /, **labels: str) -> None:
        self._histograms[name].record(seconds, labels)

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        self._gauges[name].set(value, labels)
