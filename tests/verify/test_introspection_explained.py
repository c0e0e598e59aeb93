"""Introspection in explanations and in the doctor's report."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from authkit_verify import AcceptConfig, Proof, StricterRules, TokenError, Verifier
from authkit_verify.doctor import diagnose
from authkit_verify.testing import FakeClient, FakeIssuer
from fakes.clock import FakeClock


async def explained(verifier: Verifier, token: str, proof: Proof | None = None) -> dict[str, Any]:
    """Return the checks by name, once the verdict is known to be that of verify."""
    explanation = await verifier.explain(token, proof=proof)
    code = None
    try:
        await verifier.verify(token, proof)
    except TokenError as error:
        code = error.code
    assert explanation.code == code
    assert token not in str(explanation)
    assert token not in str(explanation.to_dict())
    return {check.name: check for check in explanation.checks}


def judge(issuer: FakeIssuer, mode: str = "always", **terms: Any) -> Verifier:
    return issuer.verifier(introspection=issuer.introspection(mode=mode), **terms)


async def test_an_opaque_token_is_explained_by_the_answer_about_it(issuer: FakeIssuer) -> None:
    rules = StricterRules(required_scopes=["read"], token_types=["at+jwt"])
    async with judge(issuer, required_claims={"realm": "shop"}, report_only=rules) as verifier:
        found = await explained(verifier, issuer.mint_opaque("ann", realm="shop"))
        assert list(found)[:3] == ["shape", "issuer", "introspection"]
        assert {check.outcome for check in found.values() if not check.report_only} == {"passed", "skipped"}
        assert found["report_only.required_scopes"].outcome == "failed"
        assert found["report_only.token_types"].outcome == "passed"
        faults = await explained(verifier, issuer.mint_opaque("ann", aud="web", without=["sub"]))
    failed = {name for name, check in faults.items() if check.outcome == "failed"}
    assert failed == {"audience", "subject", "required_claims"}


async def test_an_inactive_token_and_an_outage_are_told_apart(issuer: FakeIssuer) -> None:
    async with judge(issuer) as verifier:
        assert (await explained(verifier, "unknown-token"))["introspection"].code == "token_inactive"
        issuer.break_down(401)
        row = (await explained(verifier, "another-token"))["introspection"]
        assert row.outcome == "unknown"
        assert "https://issuer.test/introspect: the endpoint refuses the credentials" in row.seen
        jwt = await explained(verifier, issuer.mint("ann"))
        assert (jwt["introspection"].outcome, jwt["scope"].outcome) == ("unknown", "skipped")


async def test_a_jwt_is_asked_about_only_if_it_passes_every_check_here(issuer: FakeIssuer) -> None:
    async with judge(issuer) as verifier:
        assert (await explained(verifier, issuer.mint(aud="web")))["introspection"].outcome == "unknown"
        assert issuer.endpoint.asked == []
        assert (await explained(verifier, issuer.mint("ann")))["introspection"].outcome == "passed"
        token = issuer.mint("ann")
        issuer.revoke(token)
        assert (await explained(verifier, token))["introspection"].code == "token_inactive"
        issuer.endpoint.answer = lambda _: httpx.Response(200, json={"active": True, "sub": "eve"})
        assert (await explained(verifier, issuer.mint("ann")))["introspection"].code == "invalid_token"


async def test_the_key_that_the_answer_binds_a_jwt_to_is_explained(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    client, token = FakeClient(clock=clock), issuer.mint("ann")
    issuer.endpoint.answer = lambda _: httpx.Response(200, json={"active": True, "cnf": client.cnf})
    async with judge(issuer) as verifier:
        assert (await explained(verifier, token))["proof"].outcome == "failed"
        proof = Proof(dpop=client.proof(token, "GET", "https://x.test/"), method="GET", url="https://x.test/")
        assert (await explained(verifier, token, proof))["proof"].outcome == "passed"


async def test_a_token_that_no_prefix_fits_is_explained_without_a_request(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    verifier = issuer.verifier(introspection=issuer.introspection(token_prefixes=["a_"]))
    found = await explained(verifier, "b_token")
    assert (found["issuer"].outcome, found["introspection"].outcome) == ("failed", "unknown")
    assert issuer.requests == []


# --- the doctor -------------------------------------------------------------------------------------------


async def finding(issuer: FakeIssuer, **terms: Any) -> tuple[str, str, str]:
    accept = issuer.accept(introspection=issuer.introspection(**terms))
    report = await diagnose(accept, issuer.client, issuer.clock, algorithms=["ES256"])
    last = report.findings[-1]
    assert issuer.endpoint.client_secret not in str(report)
    return last.level, last.code, f"{last.sentence} {last.advice}"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_an_endpoint_that_takes_the_credentials_is_well(issuer: FakeIssuer, method: str) -> None:
    found = await finding(issuer, auth_method=method, token_prefixes=["at_"])
    assert found[:2] == ("ok", "introspection")
    assert issuer.endpoint.asked[0].startswith("at_")


async def test_wrong_credentials_are_named(issuer: FakeIssuer) -> None:
    asked = issuer.introspection()
    issuer.endpoint.client_secret = "another"
    report = await diagnose(issuer.accept(introspection=asked), issuer.client, algorithms=["ES256"])
    last = report.findings[-1]
    assert (last.level, last.code) == ("error", "introspection_credentials_refused")
    assert "client_secret" in (last.advice or "")
    assert not report.ok


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (httpx.Response(200, json={"active": True}), "introspection_accepts_all"),
        (httpx.Response(200, json={"sub": "x"}), "introspection_not_rfc7662"),
        (httpx.Response(404), "introspection_bad_status"),
        (httpx.Response(200, text="<html>"), "introspection_not_json"),
        (httpx.Response(302, headers={"location": "https://x.test"}), "introspection_redirect"),
    ],
)
async def test_an_endpoint_that_is_none_is_an_error(
    issuer: FakeIssuer, response: httpx.Response, code: str
) -> None:
    issuer.endpoint.answer = lambda _: response
    assert (await finding(issuer))[:2] == ("error", code)


async def test_metadata_without_an_endpoint_is_an_error(issuer: FakeIssuer) -> None:
    issuer.metadata = {"introspection_endpoint": None}
    level, code, text = await finding(issuer)
    assert (level, code) == ("error", "introspection_not_found")
    assert "Introspection.url" in text


async def test_plain_http_to_another_host_is_a_warning(clock: FakeClock) -> None:
    issuer = FakeIssuer("http://id.internal", clock=clock)
    accept = issuer.accept(introspection=issuer.introspection(), allow_http_hosts=["id.internal"])
    report = await diagnose(accept, issuer.client, clock, algorithms=["ES256"])
    assert "http_introspection" in {one.code for one in report.findings}
    assert AcceptConfig(issuers=[accept])
