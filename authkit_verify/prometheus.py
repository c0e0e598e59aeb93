"""A verifier's counters and the state of its keys for Prometheus; needs ``prometheus-client``.

    from prometheus_client import REGISTRY
    from authkit_verify.prometheus import VerifierCollector

    REGISTRY.register(VerifierCollector(verifier))

It counts nothing itself and reads the verifier at every scrape. One verifier per registry.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from authkit_verify._jwks.issuer_keys import IssuerHealth
from authkit_verify._telemetry.counters import Counters
from authkit_verify._verify.verifier import Verifier

__all__ = ["VerifierCollector"]


class VerifierCollector(Collector):
    """Reads one verifier at every scrape. Labels are configured issuers, outcomes and codes."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics whose names this collector takes: a registry refuses a second verifier."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its current value."""
        health = self._verifier.health()
        ready = GaugeMetricFamily("authkit_verify_ready", "1 while every issuer has usable keys, else 0.")
        ready.add_metric([], float(health["ready"]))
        yield ready
        yield from _counted(self._verifier.counters())
        yield from _keys(health["issuers"])


def _counted(counters: Counters) -> Iterator[Metric]:
    tokens = CounterMetricFamily(
        "authkit_verify_tokens", "Tokens verified, by outcome.", labels=["issuer", "outcome"]
    )
    would_refuse = CounterMetricFamily(
        "authkit_verify_would_refuse",
        "Accepted tokens that a report-only rule would have refused, by code.",
        labels=["issuer", "code"],
    )
    fetches = CounterMetricFamily(
        "authkit_verify_jwks_fetches", "Fetches of a key set that succeeded.", labels=["issuer"]
    )
    failures = CounterMetricFamily(
        "authkit_verify_jwks_fetch_failures", "Fetches of a key set that failed.", labels=["issuer"]
    )
    asked = CounterMetricFamily(
        "authkit_verify_introspections", "Introspection requests with an answer.", labels=["issuer"]
    )
    unanswered = CounterMetricFamily(
        "authkit_verify_introspection_failures", "Introspection requests that failed.", labels=["issuer"]
    )
    for issuer, counted in counters.items():
        for outcome, number in counted["tokens"].items():
            tokens.add_metric([issuer, outcome], number)
        for code, number in counted["would_refuse"].items():
            would_refuse.add_metric([issuer, code], number)
        fetches.add_metric([issuer], counted["fetches"])
        failures.add_metric([issuer], counted["fetch_failures"])
        asked.add_metric([issuer], counted["introspections"])
        unanswered.add_metric([issuer], counted["introspection_failures"])
    yield from (tokens, would_refuse, fetches, failures, asked, unanswered)


def _keys(issuers: dict[str, IssuerHealth]) -> Iterator[Metric]:
    keys = GaugeMetricFamily("authkit_verify_keys", "Keys in use.", labels=["issuer"])
    age = GaugeMetricFamily(
        "authkit_verify_key_age_seconds", "Seconds since the issuer confirmed its keys.", labels=["issuer"]
    )
    failing = GaugeMetricFamily(
        "authkit_verify_jwks_failures_in_a_row",
        "Fetches that failed since the last one that succeeded.",
        labels=["issuer"],
    )
    source = GaugeMetricFamily(
        "authkit_verify_key_source", "1 for the source of the keys in use.", labels=["issuer", "source"]
    )
    for issuer, state in issuers.items():
        keys.add_metric([issuer], state["keys"])
        failing.add_metric([issuer], state["failures"])
        if state["age"] is not None:
            age.add_metric([issuer], state["age"])
        if state["source"] is not None:
            source.add_metric([issuer, state["source"]], 1.0)
    yield from (keys, age, failing, source)
