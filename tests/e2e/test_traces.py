"""``authkit serve --traces``: spans reach a collector over OTLP, and log lines name their trace."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fakes.commands import serving
from fakes.keys import as_settings

pytestmark = pytest.mark.timeout(120)


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_spans_reach_a_collector_and_the_access_log_names_their_trace(
    database_url: str, redis_url: str, workers: str
) -> None:
    settings = as_settings() | {
        "AUTHKIT_ISSUER": "https://id.example.test",
        "AUTHKIT_AUDIENCES": "api",
        "AUTHKIT_DATABASE_URL": database_url,
        "AUTHKIT_REDIS_URL": redis_url,
    }
    with collector() as (url, received):
        otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SERVICE_NAME": "id"}
        with serving("--port", "0", "--traces", "--workers", workers, **settings, **otel) as server:
            assert httpx.get(f"{server.url}/readyz").status_code == 200
            status, log = server.stop(signal.SIGTERM)
        assert status == 0
    spans = [
        span
        for request in received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    root = next(span for span in spans if span.name == "GET /readyz")
    assert any(span.trace_id == root.trace_id and span.name == "redis ping" for span in spans)
    service = {
        entry.value.string_value
        for entry in received[0].resource_spans[0].resource.attributes
        if entry.key == "service.name"
    }
    assert service == {"id"}
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    (access,) = [line for line in lines if line.get("path") == "/readyz"]
    assert access["trace_id"] == root.trace_id.hex()
