from __future__ import annotations

import re
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from authkit_verify import AcceptConfig, StricterRules, TokenError, Verifier
from authkit_verify.prometheus import VerifierCollector
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock
from fakes.readme import table


def scraped(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def test_a_scrape_shows_counters_and_keys_as_they_stand(
    issuer: FakeIssuer, clock: FakeClock, registry: CollectorRegistry
) -> None:
    accept = issuer.accept(report_only=StricterRules(required_scopes=["read"]))
    config = AcceptConfig(issuers=[accept], algorithms=("ES256",))
    async with Verifier(config, issuer.client, clock) as verifier:
        registry.register(VerifierCollector(verifier))
        before = scraped(registry)
        assert before["authkit_verify_ready"] == 0.0
        assert 'authkit_verify_key_age_seconds{issuer="https://issuer.test"}' not in before
        token = issuer.mint()
        await verifier.verify(token)
        await verifier.verify(token)
        with pytest.raises(TokenError):
            await verifier.verify('junk\n"}')
        clock.advance(10)
        seen = scraped(registry)
    ours = 'issuer="https://issuer.test"'
    assert seen["authkit_verify_ready"] == 1.0
    assert seen[f'authkit_verify_tokens_total{{{ours},outcome="accepted"}}'] == 1.0
    assert seen[f'authkit_verify_tokens_total{{{ours},outcome="accepted_from_cache"}}'] == 1.0
    assert seen['authkit_verify_tokens_total{issuer="unknown",outcome="invalid_token"}'] == 1.0
    assert seen[f'authkit_verify_would_refuse_total{{code="insufficient_scope",{ours}}}'] == 1.0
    assert seen[f"authkit_verify_jwks_fetches_total{{{ours}}}"] == 1.0
    assert seen[f"authkit_verify_jwks_fetch_failures_total{{{ours}}}"] == 0.0
    assert seen[f"authkit_verify_jwks_failures_in_a_row{{{ours}}}"] == 0.0
    assert seen[f"authkit_verify_keys{{{ours}}}"] == 1.0
    assert seen[f"authkit_verify_key_age_seconds{{{ours}}}"] == 10.0
    assert seen[f'authkit_verify_key_source{{{ours},source="fresh"}}'] == 1.0


async def test_the_readme_names_every_metric(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        made = {
            metric.name + ("_total" if metric.type == "counter" else "")
            for metric in VerifierCollector(verifier).describe()
        }
    rows = table("Metric", "Labels", documents=["docs/verify/metrics.md"])
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row[0])} == made


async def test_a_scrape_asks_the_network_for_nothing(issuer: FakeIssuer, registry: CollectorRegistry) -> None:
    async with issuer.verifier() as verifier:
        registry.register(VerifierCollector(verifier))
        scraped(registry)
    assert issuer.requests == []


async def test_a_second_verifier_in_a_registry_is_refused(
    issuer: FakeIssuer, registry: CollectorRegistry
) -> None:
    async with issuer.verifier() as one, issuer.verifier() as other:
        registry.register(VerifierCollector(one))
        with pytest.raises(ValueError):
            registry.register(VerifierCollector(other))


def test_the_verifier_does_without_the_client_library() -> None:
    program = "import sys; sys.modules['prometheus_client'] = None\nfrom authkit_verify import Verifier"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
