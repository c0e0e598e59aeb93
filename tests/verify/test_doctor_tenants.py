"""doctor: an issuer of many tenants, and what to configure for it."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_verify import IssuerAccept, presets
from authkit_verify.doctor import Report, diagnose
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock

TEMPLATE = "https://login.test/{tenant}/v2.0"
SHARED = "https://login.test/common/v2.0/.well-known/openid-configuration"


@pytest.fixture
def provider(clock: FakeClock) -> FakeIssuer:
    return FakeIssuer(TEMPLATE, clock=clock, metadata_url=SHARED)


async def report(provider: FakeIssuer, **terms: Any) -> Report:
    accept = provider.accept(**terms)
    return await diagnose(accept, provider.client, provider.clock, algorithms=["ES256"])


def codes(found: Report) -> set[str]:
    return {finding.code for finding in found.findings}


async def test_the_shared_metadata_and_those_of_one_tenant_are_checked(provider: FakeIssuer) -> None:
    provider.metadata = {"issuer": "https://login.test/{tenantid}/v2.0"}
    found = await report(provider, tenants=["acme", "globex"], metadata_url=SHARED)
    assert {"jwks_uri_other_origin", "key_set", "tenant_mismatch"} <= codes(found)
    provider.metadata = {}
    found = await report(provider, tenants=["acme", "globex"], metadata_url=SHARED)
    assert found.ok, str(found)
    assert "tenant" in codes(found)
    asked = [request.url.path for request in provider.requests]
    assert "/acme/v2.0/.well-known/openid-configuration" in asked
    assert not any("globex" in path or "tenant}" in path for path in asked)


async def test_an_explicit_key_set_is_not_compared_with_that_of_a_tenant(provider: FakeIssuer) -> None:
    found = await report(provider, tenants=["acme"], jwks_url="https://login.test/common/keys")
    assert found.ok, str(found)
    assert not {"keys_elsewhere", "no_metadata"} & codes(found)


async def test_a_tenant_without_metadata_may_be_misspelled(provider: FakeIssuer) -> None:
    provider.metadata = None
    found = await report(provider, tenants=["acme"])
    assert "tenant_without_metadata" in codes(found)


async def test_no_tenant_is_checked_where_a_function_decides(provider: FakeIssuer) -> None:
    found = await report(provider, tenants=lambda _: True)
    assert found.ok, str(found)
    assert "key_set" in codes(found)
    assert not {code for code in codes(found) if code.startswith("tenant")}


async def test_metadata_of_many_tenants_leads_to_tenants_and_not_to_the_template(
    provider: FakeIssuer, clock: FakeClock
) -> None:
    provider.metadata = {"issuer": "https://login.test/{tenantid}/v2.0"}
    accept = IssuerAccept(issuer="https://login.test/common/v2.0", audiences=["api"])
    found = await diagnose(accept, provider.client, clock)
    (finding,) = (one for one in found.findings if one.code == "multi_tenant_metadata")
    assert finding.advice is not None
    assert "tenants" in finding.advice
    assert "{tenantid}" not in finding.advice
    assert "configure issuer=" not in str(found)


async def test_entra_with_tenants_passes(clock: FakeClock) -> None:
    accept = presets.entra(tenants=["8eaef023-2b34-4da1-9baa-8bc8c9d6a490"], audiences=["api"])
    fake = FakeIssuer.of(accept, clock=clock)
    found = await diagnose(accept, fake.client, clock)
    assert found.ok, str(found)
