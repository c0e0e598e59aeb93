"""Every measurement of a service, with its kind and its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "histogram", "gauge"]
Together = Literal["sum", "max"]

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of a histogram, in seconds."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One name that a ``Telemetry`` receives."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    together: Together = "sum"
    """How the values of several processes become one: ``max`` for what each reads from the same place."""


REQUESTS = Measurement(
    "authkit_http_request_seconds",
    "histogram",
    "How long requests took, by method, route and status.",
    ("method", "route", "status"),
)
REFUSALS = Measurement(
    "authkit_http_refusals", "counter", "Refused requests, by status and code.", ("status", "code")
)
STATEMENTS = Measurement(
    "authkit_database_statement_seconds",
    "histogram",
    "How long statements took, with the wait for a connection.",
    ("statement",),
)
DATABASE_FAILURES = Measurement(
    "authkit_database_failures", "counter", "Statements without an answer, by cause.", ("cause",)
)
POOL_WAITS = Measurement(
    "authkit_database_connection_wait_seconds", "histogram", "How long callers waited for a connection."
)
POOL_OPEN = Measurement("authkit_database_connections", "gauge", "Open connections of the pool.")
POOL_USED = Measurement("authkit_database_connections_used", "gauge", "Connections in use.")
POOL_MOST = Measurement("authkit_database_connections_max", "gauge", "The most connections of the pool.")
POOL_WAITING = Measurement("authkit_database_waiting", "gauge", "Callers that wait for a connection.")
EPHEMERAL_CALLS = Measurement(
    "authkit_ephemeral_call_seconds", "histogram", "How long calls of the ephemeral store took."
)
EPHEMERAL_FAILURES = Measurement(
    "authkit_ephemeral_failures", "counter", "Failed calls of the ephemeral store, by cause.", ("cause",)
)
OUTGOING = Measurement(
    "authkit_outgoing_call_seconds",
    "histogram",
    "How long calls of login providers, webhooks, senders (``email``, ``sms``) and the breach check took, by "
    "outcome: ``2xx``, ``done``, or the class of an error.",
    ("to", "outcome"),
)
SMS_REPORTED = Measurement(
    "authkit_sms_reported",
    "counter",
    "SMS whose end the provider reported, by status and the number of its error.",
    ("status", "error"),
)
HASHING_RUNNING = Measurement("authkit_hashing_running", "gauge", "Password hashes being computed.")
HASHING_WAITING = Measurement("authkit_hashing_waiting", "gauge", "Callers that wait for a hash.")
HASHING_THREADS = Measurement("authkit_hashing_threads", "gauge", "Threads that compute hashes.")
HASHING_COMPUTED = Measurement("authkit_hashing_computed", "counter", "Password hashes computed.")
HASHING_REFUSED = Measurement("authkit_hashing_refused", "counter", "Callers refused as too many waited.")
HASHING_WAITED = Measurement(
    "authkit_hashing_waited_seconds", "counter", "How long all callers together waited for a thread."
)
BACKGROUND_FAILURES = Measurement(
    "authkit_background_failures",
    "counter",
    "Work beside the requests that failed, such as mails, by its name.",
    ("work",),
)
HOST_FAILURES = Measurement(
    "authkit_part_failures", "counter", "Failures of sinks, webhooks, hooks and entitlements.", ("part",)
)
OUTBOX_WAITING = Measurement(
    "authkit_outbox_events", "gauge", "Events that wait for a sink.", ("sink",), together="max"
)
OUTBOX_AGE = Measurement(
    "authkit_outbox_age_seconds",
    "gauge",
    "The age of the oldest event that waits.",
    ("sink",),
    together="max",
)
WEBHOOKS_WAITING = Measurement(
    "authkit_webhook_events", "gauge", "Events that wait for webhooks.", together="max"
)
WEBHOOKS_AGE = Measurement(
    "authkit_webhook_age_seconds", "gauge", "The age of the oldest of those.", together="max"
)
CLOCK_AHEAD = Measurement(
    "authkit_clock_difference_seconds",
    "gauge",
    "How far this clock and that of the database are apart.",
    together="max",
)
PROCESSES = Measurement("authkit_processes", "gauge", "Processes that answer requests.")
BUILD = Measurement(
    "authkit_build_info", "gauge", "1, with the version of the program.", ("version",), together="max"
)

MEASUREMENTS = tuple(value for value in list(globals().values()) if isinstance(value, Measurement))
BY_NAME = {measurement.name: measurement for measurement in MEASUREMENTS}
