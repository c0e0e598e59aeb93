"""Spans: one trace for a request with its statements and calls, without any value of the request."""

from __future__ import annotations

from dataclasses import fields

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from authkit_issuer.errors import DatabaseUnavailable, EmailDeliveryFailed, PasswordBreached
from authkit_issuer.http import create_app
from authkit_issuer.opentelemetry import OpenTelemetry
from authkit_issuer.ports import Senders, SendFailure
from authkit_issuer.senders.measured import measured
from authkit_issuer.senders.twilio import TwilioAccount, TwilioSender
from authkit_issuer.telemetry import measurements as names
from authkit_issuer.telemetry.calls import calling
from fakes.mail import Mailbox
from fakes.users import finish_background

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
ACCOUNT = f"AC{32 * '0'}"
TWILIO = f"twilio://{ACCOUNT}:secret@{ACCOUNT}?from=%2B15550100200"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(spans: InMemorySpanExporter) -> OpenTelemetry:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return OpenTelemetry(provider)


def client_of(service, peer: str = "203.0.113.7") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=create_app(service), client=(peer, 40_000))
    return httpx.AsyncClient(transport=transport, base_url="http://id.test")


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return format(span.context.trace_id, "032x")


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    return next(span for span in spans.get_finished_spans() if span.name == name)


async def test_a_request_is_one_trace_with_its_statements_and_no_value(
    make_service, spans, telemetry
) -> None:
    service = await make_service(telemetry=telemetry)
    user = await service.users.create(None, "ada_l")
    pair = await service.sessions.issue(user.id, method="password_login")
    spans.clear()
    async with client_of(service) as client:
        body = {"grant_type": "refresh_token", "refresh_token": pair.refresh_token}
        answer = await client.post("/auth/token", json=body)
    root = named(spans, "POST /auth/token")
    assert root.attributes["http.response.status_code"] == answer.status_code == 200
    assert root.attributes["http.route"] == "/auth/token"
    ours = [span for span in spans.get_finished_spans() if trace_of(span) == trace_of(root)]
    statements = [span for span in ours if span.attributes.get("db.system.name") == "postgresql"]
    assert any("refresh_sessions" in span.name for span in statements)
    assert all(span.parent is not None for span in statements)
    whole = " ".join(span.to_json() for span in spans.get_finished_spans())
    for secret in (pair.refresh_token, user.id, "ada_l", "203.0.113.7"):
        assert secret not in whole


async def test_only_a_trusted_proxy_says_to_which_trace_a_request_belongs(
    make_service, spans, telemetry
) -> None:
    service = await make_service(telemetry=telemetry, trusted_proxies=("10.0.0.0/8",))
    for peer, is_parent in (("10.0.0.1", True), ("203.0.113.7", False)):
        spans.clear()
        async with client_of(service, peer) as client:
            await client.get("/healthz", headers={"traceparent": PARENT})
        root = named(spans, "GET /healthz")
        assert (trace_of(root) == TRACE) is is_parent
        assert (root.parent is not None) is is_parent


async def test_a_failure_is_marked_by_its_class_and_the_text_is_left_out(spans, telemetry) -> None:
    with pytest.raises(ValueError, match="ada"), telemetry.span("work", "client", {}):
        raise ValueError("ada@example.test")
    span = named(spans, "work")
    assert not span.status.is_ok
    assert span.attributes["error.type"] == "ValueError"
    assert "ada@" not in span.to_json()


async def test_a_503_is_a_failed_span_with_the_statement_that_failed(
    make_service, spans, telemetry, database_url
) -> None:
    url = f"{database_url}&default_transaction_read_only=on"
    service = await make_service(database_url=url, telemetry=telemetry)
    with pytest.raises(DatabaseUnavailable):
        await service.users.create(None, "ada_l")
    failed = [span.name for span in spans.get_finished_spans() if not span.status.is_unset]
    assert failed == ["insert users"]


async def test_a_call_of_another_system_is_a_span_with_its_host_alone(spans, telemetry) -> None:
    with calling(telemetry, "google", "POST", "https://idp.test/token?code=secret") as outcome:
        outcome.status = 502
    span = named(spans, "POST google")
    assert span.attributes["server.address"] == "idp.test"
    assert span.attributes["error.type"] == "502"
    assert "secret" not in span.to_json()


async def test_a_message_is_a_span_of_the_request_that_caused_it_without_address_and_text(
    make_service, spans, telemetry, mailbox
) -> None:
    service = await make_service(telemetry=telemetry)
    async with client_of(service) as client:
        for whom, name in (("ada@example.test", "ada_l"), ("+4915112345678", "ben_b")):
            body = {"identifier": whom, "username": name, "password": "a good long password"}
            assert (await client.post("/auth/register", json=body)).status_code == 202
    await finish_background(service)
    requests = [trace_of(span) for span in spans.get_finished_spans() if span.name == "POST /auth/register"]
    mail = named(spans, "email send_email_verification")
    text = named(spans, "sms send_verification_code")
    assert [trace_of(mail), trace_of(text)] == requests
    whole = mail.to_json() + text.to_json()
    for sent in mailbox.messages:
        assert sent.to not in whole
        assert sent.code not in whole


async def test_a_message_that_was_not_sent_is_a_failed_span_with_the_class_alone(
    make_service, spans, telemetry, mailbox
) -> None:
    service = await make_service(telemetry=telemetry)
    mailbox.failure = SendFailure("no room for ada@example.test")
    user = await service.users.add(email="ada@example.test", username="ada_l")
    with pytest.raises(EmailDeliveryFailed):
        await service.contact_changes.request_email(user.id, "new@example.test")
    span = named(spans, "email send_email_verification_code")
    assert span.attributes["error.type"] == "SendFailure"
    assert "ada@" not in span.to_json()


async def test_a_breach_check_is_a_span_without_the_password(make_service, spans, telemetry) -> None:
    class Breaches:
        async def is_breached(self, password: str) -> bool:
            return password == "a password that leaked"

    service = await make_service(telemetry=telemetry, breach_check=Breaches())
    with pytest.raises(PasswordBreached):
        await service.registration.register("ada@example.test", "ada_l", "a password that leaked")
    span = named(spans, "breach check is_breached")
    assert span.status.is_unset
    assert "leaked" not in span.to_json()


@pytest.mark.parametrize("sender", [Mailbox(), TwilioSender(TwilioAccount.parse(TWILIO), brand="b")])
def test_a_measured_sender_has_the_extensions_of_its_own_and_no_others(telemetry, sender) -> None:
    def extensions(senders: Senders) -> set[str]:
        return {field.name for field in fields(senders) if getattr(senders, field.name) is not None}

    seen = measured(sender, "sms", telemetry)
    assert measured(sender, "sms", None) is sender
    for email, sms in ((sender, None), (None, sender)):
        plain = Senders.of(email, sms)
        watched = Senders.of(email and seen, sms and seen)
        assert extensions(watched) == extensions(plain)
        assert extensions(watched.reporting_to("https://id.test/auth/sms/status")) == extensions(plain)
        assert type(watched.reporting_to("").sms) is type(sms and seen)


def test_numbers_are_metrics_if_nothing_else_takes_them() -> None:
    reader = InMemoryMetricReader()
    telemetry = OpenTelemetry(meter_provider=MeterProvider([reader]))
    telemetry.count(names.REFUSALS.name, 2, status="503", code="server_busy")
    telemetry.observe(names.POOL_WAITS.name, 0.02)
    telemetry.gauge(names.POOL_USED.name, 7)
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: metric.data.data_points[0]
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }
    assert found["authkit_http_refusals"].value == 2
    assert dict(found["authkit_http_refusals"].attributes) == {"status": "503", "code": "server_busy"}
    assert found["authkit_database_connection_wait_seconds"].count == 1
    assert found["authkit_database_connections_used"].value == 7
