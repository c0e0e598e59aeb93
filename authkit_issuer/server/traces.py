"""Spans of a server process, sent by OTLP as the ``OTEL_*`` variables say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from authkit_issuer.details import VERSION
from authkit_issuer.errors import StartupError
from authkit_issuer.ports.telemetry import Telemetry

try:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
except ImportError as missing:
    raise StartupError('--traces needs OpenTelemetry: install "asgi-authkit[opentelemetry]".') from missing

from authkit_issuer.opentelemetry import OpenTelemetry


@asynccontextmanager
async def traced(numbers: Telemetry) -> AsyncGenerator[Telemetry]:
    """Yield a telemetry that sends spans and hands numbers on; what is left is sent at the end."""
    ours = Resource({"service.name": "authkit", "service.version": VERSION})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield OpenTelemetry(provider, numbers=numbers)
    finally:
        await asyncio.to_thread(provider.shutdown)


def add_trace(_logger: Any, _level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the trace to a line that is logged inside a span."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event.setdefault("trace_id", trace.format_trace_id(context.trace_id))
        event["span_id"] = trace.format_span_id(context.span_id)
    return event
