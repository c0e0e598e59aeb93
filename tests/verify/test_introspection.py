"""Opaque tokens and live checks: which tokens the issuer is asked about, and what its answer means."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from authkit_verify import (
    AcceptConfig,
    AuthMiddleware,
    ClaimsMapping,
    Introspection,
    Proof,
    StricterRules,
    Verifier,
    fresh_keys,
)
from authkit_verify.testing import FakeClient, FakeIssuer
from fakes.clock import FakeClock
from fakes.verdicts import identity_or_code as outcome


def judge(issuer: FakeIssuer, *, mode: str = "opaque", **terms: Any) -> Verifier:
    """A verifier with introspection; ``terms`` are fields of ``Introspection``, then of ``IssuerAccept``."""
    own = {name: terms.pop(name) for name in list(terms) if name in Introspection.__slots__}
    return issuer.verifier(introspection=issuer.introspection(mode=mode, **own), **terms)


def says(issuer: FakeIssuer, **members: Any) -> None:
    """Let the endpoint say this about every token."""
    issuer.endpoint.answer = lambda _: httpx.Response(200, json=members)


# --- which tokens are asked about -------------------------------------------------------------------------


async def test_an_opaque_token_has_the_claims_that_its_issuer_states(issuer: FakeIssuer) -> None:
    async with judge(issuer) as verifier:
        found = await verifier.authenticate(issuer.mint_opaque("ann", roles=["staff"], scope="a b"))
    claims = found.claims
    assert (claims.user_id, claims.issuer, claims.audience) == ("ann", issuer.issuer, ("api",))
    assert (claims.roles, claims.scopes) == (("staff",), ("a", "b"))
    assert "active" not in claims.raw
    assert found.keys.source == "introspection"
    assert issuer.fetches == 0, "no key verifies an opaque token"


@pytest.mark.parametrize(
    ("mode", "asked", "opaque"),
    [("opaque", 0, "ann"), ("jwt", 1, "invalid_token"), ("always", 1, "ann")],
)
async def test_the_mode_says_which_tokens_the_issuer_is_asked_about(
    issuer: FakeIssuer, mode: str, asked: int, opaque: str
) -> None:
    async with judge(issuer, mode=mode) as verifier:
        assert await outcome(verifier, issuer.mint("bob")) == "bob"
        assert len(issuer.endpoint.asked) == asked
        assert await outcome(verifier, issuer.mint_opaque("ann")) == opaque


async def test_without_introspection_an_opaque_token_is_refused_and_no_request_is_made(
    issuer: FakeIssuer,
) -> None:
    async with issuer.verifier() as verifier:
        assert await outcome(verifier, issuer.mint_opaque("ann")) == "invalid_token"
    assert issuer.requests == []


@pytest.mark.parametrize("mode", ["jwt", "always"])
async def test_a_jwt_that_is_refused_here_costs_the_issuer_nothing(issuer: FakeIssuer, mode: str) -> None:
    good = issuer.mint()
    head, body, signature = good.split(".")
    async with judge(issuer, mode=mode) as verifier:
        await verifier.verify(issuer.mint("first"))
        before = len(issuer.requests)
        bad = [
            issuer.mint_forged(), issuer.mint_expired(), issuer.mint(aud="other"),
            issuer.mint(header={"alg": "none"}), issuer.mint(iss="https://other.test"), issuer.mint(typ="x"),
            issuer.mint(without=["sub"]), f"{good}.", f"{good}=", f"{head}.{body}", f"{head}.{body}.",
            f"{head[:-1]}.{body}.{signature}", f"{head}.{body}.{signature}.x.y", f"{head}.", "eyJ.x.y",
            issuer.mint(header={"crit": ["x"]}), f" {good}", f"{good}\n", "", "a b", "a\u00e9", "x" * 20_000,
        ]  # fmt: skip
        for token in bad:
            assert await outcome(verifier, token) not in {"user-1", "token_inactive"}, token
    assert len(issuer.endpoint.asked) == 1
    assert len(issuer.requests) <= before + 2, "at most the keys are fetched again"


@pytest.mark.parametrize(
    "token", ["v2.local.text", "1|AbC", "ya29.a0Af", "a.b.c.d.e", "a:b/c==", "W3sieCI.x.y"]
)
async def test_a_token_with_dots_and_signs_is_opaque_unless_it_begins_as_a_jwt(
    issuer: FakeIssuer, token: str
) -> None:
    issuer.endpoint.opaque[token] = {"sub": "ann", "aud": "api", "exp": issuer.clock() + 60}
    async with judge(issuer) as verifier:
        assert await outcome(verifier, token) == "ann"
    assert issuer.endpoint.asked == [token]


# --- several issuers --------------------------------------------------------------------------------------


async def test_the_only_issuer_with_opaque_tokens_gets_all_of_them(clock: FakeClock) -> None:
    a, b = FakeIssuer("https://a.test", clock=clock), FakeIssuer("https://b.test", clock=clock)
    config = AcceptConfig(
        issuers=[a.accept(), b.accept(introspection=b.introspection())], algorithms=["ES256"]
    )
    async with Verifier(config, FakeIssuer.client_for(a, b), clock) as verifier:
        assert await outcome(verifier, b.mint_opaque("ann")) == "ann"
        assert await outcome(verifier, a.mint_opaque("bob")) == "token_inactive"
        assert await outcome(verifier, a.mint("cy")) == "cy"
    assert a.endpoint.asked == []


async def test_of_several_issuers_the_prefix_says_which_one_is_asked(clock: FakeClock) -> None:
    a, b = FakeIssuer("https://a.test", clock=clock), FakeIssuer("https://b.test", clock=clock)
    config = AcceptConfig(
        issuers=[
            a.accept(introspection=a.introspection(token_prefixes=["a_", "aa-"])),
            b.accept(introspection=b.introspection(token_prefixes=["b_"])),
        ]
    )
    async with Verifier(config, FakeIssuer.client_for(a, b), clock) as verifier:
        for prefix in ("a_", "aa-"):
            assert await outcome(verifier, a.mint_opaque("ann", prefix=prefix)) == "ann"
        assert await outcome(verifier, b.mint_opaque("bob", prefix="b_")) == "bob"
        asked = len(a.endpoint.asked), len(b.endpoint.asked)
        for prefix in ("", "c_", "B_", "a-"):
            assert await outcome(verifier, b.mint_opaque("bob", prefix=prefix)) == "invalid_token"
        assert (len(a.endpoint.asked), len(b.endpoint.asked)) == asked == (2, 1)
        # A token of one under the prefix of the other is asked there, where it is unknown.
        assert await outcome(verifier, b.mint_opaque("bob", prefix="a_")) == "token_inactive"


async def test_an_issuer_with_opaque_tokens_comes_and_goes_while_the_verifier_runs(clock: FakeClock) -> None:
    a, b = FakeIssuer("https://a.test", clock=clock), FakeIssuer("https://b.test", clock=clock)
    verifier = Verifier(a.accept(), FakeIssuer.client_for(a, b), clock)
    token = b.mint_opaque("ann")
    assert await outcome(verifier, token) == "invalid_token"
    verifier.add_issuer(b.accept(introspection=b.introspection()))
    assert await outcome(verifier, token) == "ann"
    assert verifier.recall(token) is not None
    with pytest.raises(ValueError, match="token_prefixes"):
        verifier.add_issuer(
            FakeIssuer("https://c.test").accept(introspection=Introspection(client_id="c", client_secret="s"))
        )
    await verifier.remove_issuer(b.issuer)
    assert verifier.recall(token) is None
    assert await outcome(verifier, token) == "invalid_token"


TEMPLATE = "https://login.test/{tenant}/v2.0"


@pytest.mark.parametrize(
    ("iss", "expected"),
    [
        ("https://login.test/acme/v2.0", "ann"),
        ("https://login.test/evil/v2.0", "bad_tenant"),
        ("https://other.test/acme/v2.0", "bad_issuer"),
        (TEMPLATE, "bad_issuer"),
        (None, "bad_issuer"),
        (..., "bad_issuer"),
    ],
)
async def test_an_answer_about_an_opaque_token_of_a_tenant_must_name_an_accepted_one(
    clock: FakeClock, iss: Any, expected: str
) -> None:
    issuer = FakeIssuer(TEMPLATE, clock=clock)
    claims = {"active": True, "iss": iss, "sub": "ann", "aud": "api", "exp": clock() + 60}
    if iss is ...:
        del claims["iss"]
    says(issuer, **claims)
    async with judge(issuer, url="https://login.test/introspect", tenants=["acme"]) as verifier:
        assert await outcome(verifier, "an-opaque-token") == expected
        explanation = await verifier.explain("an-opaque-token")
        assert explanation.code == (None if expected == "ann" else expected)


async def test_the_answer_about_a_jwt_cannot_move_it_to_another_tenant(clock: FakeClock) -> None:
    issuer = FakeIssuer(TEMPLATE, clock=clock)
    issuer.tenant_claim = "tid"
    token = issuer.mint("ann", **issuer.claims_of("acme"))
    terms: dict[str, Any] = {
        "url": "https://login.test/introspect",
        "tenants": ["acme"],
        "tenant_claim": "tid",
    }
    for answer, expected in (({}, "ann"), ({"tid": "evil"}, "bad_tenant")):
        says(issuer, active=True, **answer)
        async with judge(issuer, mode="jwt", **terms) as verifier:
            assert await outcome(verifier, token) == expected
            assert (await verifier.explain(token)).code == (None if expected == "ann" else expected)


# --- what an answer means ---------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [False, None, 1, "true", "True", [True], {}, ...])
async def test_only_the_boolean_true_is_active(issuer: FakeIssuer, active: Any) -> None:
    members = {"sub": "ann", "aud": "api", "exp": issuer.clock() + 60, "active": active}
    if active is ...:
        del members["active"]
    says(issuer, **members)
    async with judge(issuer, mode="always") as verifier:
        assert await outcome(verifier, "an-opaque-token") == "token_inactive"
        assert await outcome(verifier, issuer.mint()) == "token_inactive"


async def test_the_warning_about_an_answer_holds_no_query(
    issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    says(issuer, active="true")
    url = issuer.introspection().url or f"{issuer.issuer}/introspect"
    async with judge(issuer, mode="always", url=f"{url}?code=private") as verifier:
        assert await outcome(verifier, "an-opaque-token") == "token_inactive"
    assert "no boolean active" in caplog.text
    assert "private" not in caplog.text


ANSWERS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"iss": ...}, {}, "ann"),
    ({"iss": "https://other.test"}, {}, "bad_issuer"),
    ({"iss": None}, {}, "bad_issuer"),
    ({"sub": ...}, {}, "invalid_token"),
    ({"sub": 7}, {}, "invalid_token"),
    ({"sub": ..., "client_id": "job"}, {"claims": ClaimsMapping(subject=["sub", "client_id"])}, "job"),
    ({"aud": ...}, {}, "bad_audience"),
    ({"aud": "other"}, {}, "bad_audience"),
    ({"aud": ["other", "api"]}, {}, "ann"),
    ({"aud": ...}, {"audiences": (), "any_audience": True}, "ann"),
    ({"aud": ..., "client_id": "api"}, {"claims": ClaimsMapping(audience="client_id")}, "ann"),
    ({"exp": ...}, {}, "missing_exp"),
    ({"exp": "soon"}, {}, "invalid_token"),
    ({"exp": -100}, {}, "token_expired"),
    ({"nbf": 100}, {}, "invalid_token"),
    ({"iat": 100}, {}, "invalid_token"),
    ({}, {"max_lifetime": 60.0}, "invalid_token"),
    ({}, {"required_scopes": ["read"]}, "insufficient_scope"),
    ({"scope": "write read"}, {"required_scopes": ["read"]}, "ann"),
    ({}, {"required_claims": {"realm": "shop"}}, "bad_claim"),
    ({"realm": "shop"}, {"required_claims": {"realm": "shop"}}, "ann"),
    ({"token_type": ...}, {}, "ann"),
    ({"token_type": "bearer"}, {}, "ann"),
    ({"token_type": "refresh_token"}, {}, "invalid_token"),
    ({"token_type": ["Bearer"]}, {}, "invalid_token"),
    ({"token_type": "at+jwt"}, {"token_types": ["at+jwt"]}, "invalid_token"),
    ({"token_use": "refresh_token"}, {}, "invalid_token"),
    ({"token_type": "DPoP"}, {}, "invalid_token"),
    ({"cnf": {"jkt": "x"}}, {}, "invalid_token"),
    ({"cnf": {"x5t#S256": "x"}}, {}, "invalid_token"),
    ({"cnf": {}}, {}, "invalid_token"),
    ({"cnf": None}, {}, "invalid_token"),
    ({}, {"dpop": "required"}, "invalid_token"),
    ({}, {"token_types": ["at+jwt"]}, "ann"),  # typ is of a header, and an opaque token has none
]


@pytest.mark.parametrize(("change", "rules", "expected"), ANSWERS)
async def test_the_claims_of_an_answer_are_checked_as_those_of_a_jwt(
    issuer: FakeIssuer, change: dict[str, Any], rules: dict[str, Any], expected: str
) -> None:
    token = issuer.mint_opaque("ann")
    claims = issuer.endpoint.opaque[token]
    claims["token_type"] = "Bearer"
    for name, value in change.items():
        claims[name] = (
            value + issuer.clock() if name in {"exp", "nbf", "iat"} and type(value) is int else value
        )
        if value is ...:
            del claims[name]
    says(issuer, active=True, **claims)
    async with judge(issuer, **rules) as verifier:
        assert await outcome(verifier, token) == expected
        assert await outcome(verifier, token) == expected
    assert len(issuer.endpoint.asked) == 1, "a refused answer is remembered, too"


async def test_the_answer_about_a_jwt_counts_before_the_claims_in_it(issuer: FakeIssuer) -> None:
    says(issuer, active=True, scope="read", roles=["guest"])
    async with judge(issuer, mode="jwt") as verifier:
        claims = await verifier.verify(issuer.mint("ann", roles=["admin"], scope="read write"))
    assert (claims.user_id, claims.roles, claims.scopes) == ("ann", ("guest",), ("read",))


@pytest.mark.parametrize(("stated", "counts"), [(10**9, 60), (30, 30)])
async def test_no_answer_about_a_jwt_makes_it_valid_for_longer(
    issuer: FakeIssuer, clock: FakeClock, stated: int, counts: int
) -> None:
    says(issuer, active=True, exp=int(clock()) + stated)
    async with judge(issuer, mode="jwt") as verifier:
        claims = await verifier.verify(issuer.mint("ann", lifetime=60))
        assert claims.expires_at == int(clock()) + counts
        assert verifier.remaining(claims) == pytest.approx(counts + 60, abs=1)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"sub": "bob"}, "invalid_token"),
        ({"jti": "2"}, "invalid_token"),
        ({"iss": "https://other.test"}, "bad_issuer"),
        ({"aud": "other"}, "bad_audience"),
        ({"exp": 1}, "token_expired"),
        ({"scope": "none"}, "insufficient_scope"),
        ({"token_use": "refresh_token"}, "invalid_token"),
        ({"cnf": {"jkt": "x"}}, "invalid_token"),
        ({}, "ann"),
    ],
)
async def test_the_answer_about_a_jwt_can_refuse_it(
    issuer: FakeIssuer, answer: dict[str, Any], code: str
) -> None:
    says(issuer, active=True, **answer)
    async with judge(issuer, mode="jwt", required_scopes=["read"]) as verifier:
        assert await outcome(verifier, issuer.mint("ann", jti="1", scope="read")) == code


async def test_an_answer_cannot_admit_a_jwt_that_is_bound_to_another_key(issuer: FakeIssuer) -> None:
    holder, thief = FakeClient(), FakeClient()
    token = issuer.mint("ann", cnf=holder.cnf)
    says(issuer, active=True, cnf=thief.cnf)
    async with judge(issuer, mode="jwt") as verifier:
        proof = Proof(
            dpop=thief.proof(token, "GET", "https://api.test/"), method="GET", url="https://api.test/"
        )
        assert await outcome(verifier, token, proof) == "invalid_token"


@pytest.mark.parametrize("token_type", ["DPoP", "Bearer"])
async def test_a_bound_opaque_token_needs_its_proof_at_each_request(
    issuer: FakeIssuer, clock: FakeClock, token_type: str
) -> None:
    client, url = FakeClient(clock=clock), "https://api.test/"
    token = issuer.mint_opaque("ann", cnf=client.cnf, token_type=token_type)
    async with judge(issuer) as verifier:
        for _ in range(3):
            proof = Proof(dpop=client.proof(token, "GET", url), method="GET", url=url)
            assert await outcome(verifier, token, proof) == "ann"
            assert await outcome(verifier, token, proof) == "invalid_dpop_proof", "a replay"
        assert await outcome(verifier, token) == "invalid_token"
        assert verifier.recall(token) is None
    assert len(issuer.endpoint.asked) == 1


async def test_a_certificate_bound_opaque_token_needs_the_certificate(issuer: FakeIssuer) -> None:
    token = issuer.mint_opaque("ann", cnf={"x5t#S256": "abc"})
    async with judge(issuer) as verifier:
        assert await outcome(verifier, token, Proof(certificate="abc")) == "ann"
        assert await outcome(verifier, token, Proof(certificate="abd")) == "invalid_token"
        assert await outcome(verifier, token) == "invalid_token"


async def test_report_only_rules_are_reported_of_opaque_tokens(issuer: FakeIssuer) -> None:
    rules = StricterRules(required_scopes=["read"], token_types=["at+jwt"], algorithms=["RS256"])
    async with judge(issuer, report_only=rules) as verifier:
        assert await outcome(verifier, issuer.mint_opaque("ann")) == "ann"
        assert verifier.counters()[issuer.issuer]["would_refuse"] == {"insufficient_scope": 1}


# --- over HTTP --------------------------------------------------------------------------------------------


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["user"].identity.encode()})


async def test_a_revoked_token_is_401_and_an_outage_503_with_the_time_of_a_retry(
    issuer: FakeIssuer, connect: Callable[..., Any]
) -> None:
    app = AuthMiddleware(hello, judge(issuer))
    token = issuer.mint_opaque("ann")
    assert (await connect(app, token=token).run()).body == b"ann"
    gone = await connect(app, token="unknown").run()
    assert gone.status == 401
    assert 'error="invalid_token"' in gone.header("www-authenticate")
    assert b'"token_inactive"' in gone.body
    issuer.break_down(503)
    down = await connect(app, token=issuer.mint_opaque("bob")).run()
    assert (down.status, down.header("retry-after")) == (503, "1")
    assert b'"introspection_unavailable"' in down.body
    assert (await connect(app, token=token).run()).status == 200, "its answer still counts"


async def test_fresh_keys_asks_for_a_fresh_answer_about_an_opaque_token(
    issuer: FakeIssuer, clock: FakeClock, connect: Callable[..., Any]
) -> None:
    app = AuthMiddleware(fresh_keys(max_age=10)(hello), judge(issuer))
    token = issuer.mint_opaque("ann")
    assert (await connect(app, token=token).run()).status == 200
    clock.advance(11)
    assert (await connect(app, token=token).run()).status == 503
    clock.advance(20)
    assert (await connect(app, token=token).run()).status == 200


async def test_no_log_line_holds_a_token_or_a_secret(
    issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = issuer.mint_opaque("ann")
    async with judge(issuer) as verifier:
        await outcome(verifier, token)
        await outcome(verifier, "unknown-token-text")
        issuer.break_down(500)
        await outcome(verifier, "another-token-text")
    assert "introspection" in caplog.text
    for secret in (token, "unknown-token-text", "another-token-text", issuer.endpoint.client_secret):
        assert secret not in caplog.text
