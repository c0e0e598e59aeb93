"""Tenants: one record for the issuers of many tenants of one provider, and no other tenant."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from authkit_verify import AcceptConfig, AuthMiddleware, Enricher, IssuerAccept, TokenError, Verifier
from authkit_verify.testing import FakeIssuer, FakeKey
from fakes.clock import FakeClock
from fakes.tokens import mutate

TEMPLATE = "https://login.test/{tenant}/v2.0"
SHARED = "https://login.test/common/v2.0/.well-known/openid-configuration"
Connect = Callable[..., Any]
Rounds = Callable[[int], int]


async def outcome(verifier: Verifier, token: str) -> str:
    """The code of the refusal, which must also be that of ``explain``."""
    try:
        await verifier.verify(token)
        code = None
    except TokenError as error:
        code = error.code
    assert (await verifier.explain(token)).code == code
    return code or "accepted"


@pytest.fixture
def provider(clock: FakeClock) -> FakeIssuer:
    return FakeIssuer(TEMPLATE, clock=clock, tenant_claim="tid", metadata_url=SHARED)


def token(provider: FakeIssuer, tenant: str, **claims: Any) -> str:
    return provider.mint("ann", **provider.claims_of(tenant) | claims)


# The rule


async def test_listed_tenants_are_accepted_by_one_key_set_and_no_other_is(provider: FakeIssuer) -> None:
    verifier = provider.verifier(tenants=["acme", "globex"])
    claims = await verifier.verify(token(provider, "acme"))
    assert (claims.tenant, claims.issuer) == ("acme", "https://login.test/acme/v2.0")
    assert await outcome(verifier, token(provider, "globex")) == "accepted"
    assert await outcome(verifier, token(provider, "evil")) == "bad_tenant"
    assert provider.fetches == 1


async def test_the_claims_of_an_issuer_without_tenants_have_no_tenant(issuer: FakeIssuer) -> None:
    claims = await issuer.verifier().verify(issuer.mint(tid="acme"))
    assert claims.tenant is None


@pytest.mark.parametrize(
    "iss",
    [
        TEMPLATE, "https://login.test/{tenantid}/v2.0", "https://login.test//v2.0", "https://login.test/v2.0",
        "https://login.test/acme/v2.0/", "https://login.test/acme/x/v2.0", "https://login.test/ACME/v2.0",
        "https://login.test/../v2.0", "https://login.test/acme%2Fx/v2.0", "https://login.test/acme?/v2.0",
        "https://login.test/acme\n/v2.0", "https://login.test/acme/v2.0\n", "https://login.test/acme#/v2.0",
        "https://login.test/acm\u0435/v2.0", "https://login.test:443/acme/v2.0", "http://login.test/acme/v2.0",
        "https://login.test.evil.test/acme/v2.0", "https://evil.test/https://login.test/acme/v2.0",
        "https://login.test/acme/v2x0", "https://login.test/ acme/v2.0", "", None, ["acme"],
    ],
)  # fmt: skip
async def test_an_iss_that_only_resembles_a_listed_tenant_is_refused(provider: FakeIssuer, iss: Any) -> None:
    verifier = provider.verifier(tenants=["acme"])
    assert await outcome(verifier, token(provider, "acme")) == "accepted"
    found = await outcome(verifier, token(provider, "acme", iss=iss))
    assert found in {"bad_issuer", "bad_tenant", "invalid_token"}


async def test_the_template_itself_is_no_issuer(provider: FakeIssuer) -> None:
    verifier = provider.verifier(tenants=["acme"])
    assert await outcome(verifier, token(provider, "acme", iss=TEMPLATE)) == "bad_issuer"


async def test_a_tenant_may_be_a_label_of_the_host(clock: FakeClock) -> None:
    provider = FakeIssuer("https://{tenant}.idp.test/oauth", clock=clock)
    verifier = provider.verifier(tenants=["acme", "a-b"])
    assert await outcome(verifier, token(provider, "a-b")) == "accepted"
    for tenant in ("evil.test/acme", "evil.test#acme", "acme.x", "ACME", "-acme", "x@acme", "acme:1", "b"):
        forged = token(provider, "acme", iss=f"https://{tenant}.idp.test/oauth")
        assert await outcome(verifier, forged) in {"bad_issuer", "bad_tenant"}


async def test_the_claim_of_the_tenant_must_agree_with_iss(provider: FakeIssuer) -> None:
    verifier = provider.verifier(tenants=["acme", "globex"])
    for tid in ("globex", "ACME", "", None, ["acme"]):
        assert await outcome(verifier, token(provider, "acme", tid=tid)) == "bad_tenant"
    assert await outcome(verifier, provider.mint(without=["tid"])) == "bad_tenant"
    lenient = provider.verifier(tenants=["acme"], tenant_claim=None)
    assert await outcome(lenient, token(provider, "acme", tid="globex")) == "accepted"


async def test_the_claim_of_the_tenant_may_lie_deeper(clock: FakeClock) -> None:
    provider = FakeIssuer(TEMPLATE, clock=clock, tenant_claim="idp.tenant")
    provider.claims = {"idp": {"provider": "password"}}
    verifier = provider.verifier(tenants=["acme"])
    claims = await verifier.verify(token(provider, "acme"))
    assert claims.raw["idp"] == {"provider": "password", "tenant": "acme"}
    assert await outcome(verifier, token(provider, "acme", idp={"tenant": "globex"})) == "bad_tenant"


async def test_an_issuer_of_its_own_goes_before_the_template(provider: FakeIssuer, clock: FakeClock) -> None:
    own = FakeIssuer("https://login.test/own/v2.0", clock=clock, jwks_url="https://own.test/keys")
    config = AcceptConfig(issuers=[provider.accept(tenants=["acme"]), own.accept()])
    verifier = Verifier(config, FakeIssuer.client_for(own, provider), clock)
    assert await outcome(verifier, own.mint()) == "accepted"
    assert (await verifier.verify(own.mint())).tenant is None
    assert await outcome(verifier, token(provider, "own")) == "invalid_token"  # it has other keys
    assert await outcome(verifier, token(provider, "acme")) == "accepted"


async def test_a_token_that_is_bad_otherwise_does_not_reveal_which_tenants_are_accepted(
    provider: FakeIssuer,
) -> None:
    verifier = provider.verifier(tenants=["acme"])
    other = FakeKey.generate(provider.key.kid, "ES256")
    codes = {
        await outcome(verifier, provider.mint(key=other, **provider.claims_of(tenant)))
        for tenant in ("acme", "evil")
    }
    assert codes == {"invalid_token"}


async def test_removing_the_record_ends_all_its_tenants(provider: FakeIssuer) -> None:
    verifier = provider.verifier(tenants=["acme"])
    sent = token(provider, "acme")
    assert await outcome(verifier, sent) == "accepted"
    await verifier.remove_issuer(TEMPLATE)
    assert await outcome(verifier, sent) == "bad_issuer"


@pytest.mark.timeout(1800)
async def test_no_mutated_issuer_is_accepted_unless_its_tenant_is(rounds: Rounds, clock: FakeClock) -> None:
    dice = random.Random(22)
    provider = FakeIssuer(TEMPLATE, algorithm="EdDSA", clock=clock)
    verifier = provider.verifier(tenants=["acme", "globex"])
    good = {"https://login.test/acme/v2.0", "https://login.test/globex/v2.0"}
    seeds = [*sorted(good), TEMPLATE, "https://login.test/evil/v2.0", "https://login.test/acme/globex/v2.0"]
    codes: set[str] = set()
    for _ in range(rounds(10_000)):
        iss = mutate(dice.choice(seeds).encode(), dice).decode("latin-1")
        if iss in good:
            continue
        try:
            await verifier.verify(provider.mint(iss=iss))
        except TokenError as error:
            codes.add(error.code)
        else:
            codes.add(f"accepted {iss!r}")
    assert codes <= {"bad_issuer", "bad_tenant"}
    assert "bad_tenant" in codes


# Keys


async def test_a_key_that_names_an_issuer_serves_only_that_one(provider: FakeIssuer) -> None:
    for_all = replace(FakeKey.generate("all", "ES256"), issuer="https://login.test/{tenantid}/v2.0")
    for_one = replace(FakeKey.generate("one", "ES256"), issuer="https://login.test/globex/v2.0")
    elsewhere = replace(FakeKey.generate("else", "ES256"), issuer="https://login.other/{tenantid}/v2.0")
    provider.keys = [for_all, for_one, elsewhere]
    verifier = provider.verifier(tenants=["acme", "globex"])

    async def signed(key: FakeKey, tenant: str) -> str:
        return await outcome(verifier, provider.mint(key=key, **provider.claims_of(tenant)))

    assert [await signed(for_all, tenant) for tenant in ("acme", "globex")] == ["accepted"] * 2
    assert await signed(for_one, "globex") == "accepted"
    assert await signed(for_one, "acme") == "bad_tenant"
    assert {await signed(elsewhere, tenant) for tenant in ("acme", "globex")} == {"bad_tenant"}


_DIRECTORY = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("issuer", "published_for", "expected"),
    [
        ("https://login.test/acme/v2.0", None, "accepted"),
        ("https://login.test/acme/v2.0", "https://login.test/acme/v2.0", "accepted"),
        ("https://login.test/acme/v2.0", "https://login.test/{tenantid}/v2.0", "accepted"),
        ("https://login.test/acme/v2.0", "https://login.test/globex/v2.0", "bad_tenant"),
        ("https://login.test/acme/v2.0", "", "bad_tenant"),
        (f"https://sts.test/{_DIRECTORY}/", f"https://login.test/{_DIRECTORY}/v2.0", "accepted"),
        (f"https://sts.test/{_DIRECTORY}/", "https://login.test/{tenantid}/v2.0", "accepted"),
        (f"https://sts.test/{_DIRECTORY}/", f"https://login.test/{'2' * 8}{_DIRECTORY[8:]}/", "bad_tenant"),
    ],
)
async def test_a_key_of_another_tenant_does_not_sign_for_an_issuer_that_is_listed_alone(
    issuer: str, published_for: str | None, expected: str
) -> None:
    listed = FakeIssuer(issuer, jwks_url="https://keys.test/of-all-tenants")
    listed.keys = [replace(listed.key, issuer=published_for)]
    verifier = Verifier(listed.accept(), listed.client)
    for header in ({}, {"kid": None}):
        refused = "missing_kid" if header and expected != "accepted" else expected
        assert await outcome(verifier, listed.mint(header=header)) == refused


async def test_a_token_without_kid_is_checked_with_the_keys_of_its_tenant(provider: FakeIssuer) -> None:
    for_one = replace(FakeKey.generate("one", "ES256"), issuer="https://login.test/globex/v2.0")
    provider.keys = [provider.key, for_one]
    verifier = provider.verifier(tenants=["acme", "globex"])
    nameless = {"key": for_one, "header": {"kid": None}}
    assert await outcome(verifier, provider.mint(**nameless, **provider.claims_of("globex"))) == "accepted"
    assert await outcome(verifier, provider.mint(**nameless, **provider.claims_of("acme"))) == "invalid_token"


async def test_a_key_id_that_tenants_share_leads_to_the_key_of_each(provider: FakeIssuer) -> None:
    tenants = [f"t{number}" for number in range(8)]
    provider.keys = [
        replace(FakeKey.generate("same", "ES256"), issuer=f"https://login.test/{tenant}/v2.0")
        for tenant in tenants
    ]
    verifier = provider.verifier(tenants=tenants)
    for key, tenant in zip(provider.keys, tenants, strict=True):
        assert await outcome(verifier, provider.mint(key=key, **provider.claims_of(tenant))) == "accepted"
    mixed = provider.mint(key=provider.keys[0], **provider.claims_of("t1"))
    assert await outcome(verifier, mixed) == "invalid_token"


async def test_one_key_may_be_published_for_several_tenants(provider: FakeIssuer) -> None:
    key = provider.key
    provider.keys = [
        replace(key, issuer=f"https://login.test/{tenant}/v2.0") for tenant in ("acme", "globex")
    ]
    verifier = provider.verifier(tenants=["acme", "globex", "initech"])
    for tenant, expected in (("acme", "accepted"), ("globex", "accepted"), ("initech", "bad_tenant")):
        assert await outcome(verifier, token(provider, tenant)) == expected


async def test_a_key_that_moves_to_another_tenant_ends_cached_tokens(
    provider: FakeIssuer, clock: FakeClock
) -> None:
    verifier = provider.verifier(tenants=["acme", "globex"])
    sent = token(provider, "acme")
    assert await outcome(verifier, sent) == "accepted"
    provider.keys = [replace(provider.key, issuer="https://login.test/globex/v2.0")]
    clock.advance(301)
    assert await outcome(verifier, sent) == "bad_tenant"


async def test_the_keys_of_all_tenants_are_found_through_the_metadata_that_they_share(
    provider: FakeIssuer,
) -> None:
    provider.metadata = {"issuer": "https://login.test/{tenantid}/v2.0"}
    verifier = provider.verifier(tenants=["acme"], metadata_url=SHARED)
    assert await outcome(verifier, token(provider, "acme")) == "accepted"
    assert [str(request.url) for request in provider.requests] == [SHARED, "https://keys.test/jwks.json"]


@pytest.mark.parametrize(
    "named", ["https://login.test/acme/v2.0", "https://login.other/{tenantid}/v2.0", "{tenantid}", None]
)
async def test_metadata_of_another_template_names_no_keys(provider: FakeIssuer, named: Any) -> None:
    provider.metadata = {"issuer": named}
    verifier = provider.verifier(tenants=["acme"], metadata_url=SHARED)
    assert await outcome(verifier, token(provider, "acme")) == "keys_unavailable"
    assert provider.fetches == 0


# The configuration


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://login.test/v2.0"}, {"issuer": "https://login.test/{tenantid}/v2.0"},
        {"issuer": "https://login.test/{tenant}/{tenant}"}, {"issuer": "https://login.test/x{tenant}/v2.0"},
        {"issuer": "https://login.test/{tenant}x/v2.0"}, {"issuer": "https://login.test/{tenant}/*"},
        {"issuer": "https://login.test/a?t={tenant}"}, {"issuer": "https://login.test/#{tenant}"},
        {"issuer": "https://{tenant}"}, {"issuer": "https://{tenant}/v2.0"}, {"issuer": "https://x{tenant}.test"},
        {"issuer": "https://login.test:{tenant}/"}, {"issuer": "https://{tenant}@login.test/"},
        {"issuer": "{tenant}"}, {"issuer": "ftp://login.test/{tenant}"}, {"issuer": None},
        {"tenants": None}, {"tenants": []}, {"tenants": "acme"}, {"tenants": [""]}, {"tenants": ["a/b"]},
        {"tenants": ["{tenant}"]}, {"tenants": ["*"]}, {"tenants": [".."]}, {"tenants": [1]},
        {"jwks_url": None}, {"metadata_url": SHARED}, {"discovery": False}, {"discovery": True},
        {"jwks_url": "https://login.test/{tenant}/keys"}, {"jwks_url": "http://login.test/keys"},
        {"jwks_url": None, "metadata_url": "https://login.test/{tenant}/meta"}, {"tenant_claim": ""},
        {"jwks_url": None, "metadata_url": "http://login.test/meta"},
    ],
)  # fmt: skip
def test_a_record_of_tenants_that_cannot_work_or_accepts_too_much_is_refused(wrong: dict[str, Any]) -> None:
    terms = {
        "issuer": TEMPLATE, "audiences": ["api"], "tenants": ["acme"], "jwks_url": "https://login.test/keys",
    }  # fmt: skip
    IssuerAccept(**terms)
    with pytest.raises(ValueError):
        IssuerAccept(**terms | wrong)


@pytest.mark.parametrize("wrong", [{"tenant_claim": "tid"}, {"metadata_url": SHARED}])
def test_settings_of_tenants_are_refused_where_there_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs tenants"):
        IssuerAccept(issuer="https://login.test", audiences=["api"], **wrong)


async def test_a_key_set_at_another_origin_is_refused_where_it_must_not_be(provider: FakeIssuer) -> None:
    verifier = provider.verifier(tenants=["acme"], metadata_url=SHARED, same_origin=True)
    assert await outcome(verifier, token(provider, "acme")) == "keys_unavailable"
    provider.metadata = {"jwks_uri": "https://login.test/keys"}
    verifier = provider.verifier(tenants=["acme"], metadata_url=SHARED, same_origin=True)
    assert await outcome(verifier, token(provider, "acme")) == "accepted"


# The rest of the package


async def test_explain_names_the_tenant_and_why_it_is_refused(provider: FakeIssuer) -> None:
    verifier = provider.verifier(tenants=["acme"])

    async def row(sent: str) -> Any:
        found = await verifier.explain(sent)
        return next(check for check in found.checks if check.name == "tenant")

    good, evil, torn = [
        await row(one)
        for one in (token(provider, "acme"), token(provider, "evil"), token(provider, "acme", tid="x"))
    ]
    assert (good.outcome, good.code, good.seen) == ("passed", None, "tenant 'acme'")
    assert (evil.outcome, evil.code) == ("failed", "bad_tenant")
    assert evil.seen == "the token's tenant is not accepted; tenant 'evil'"
    assert ".tenants = ('acme',), tenant_claim = 'tid'" in evil.setting
    assert torn.seen == "the token's tid is not the tenant of its iss; tenant 'acme'"
    assert (await row(token(provider, "evil", aud="x"))).code == "bad_tenant"


async def test_records_of_users_are_asked_about_the_tenants_that_are_named(provider: FakeIssuer) -> None:
    class Source:
        async def enrich(self, user_id: str) -> Any: ...

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    verifier = provider.verifier(tenants=["acme", "globex"])
    with pytest.raises(ValueError, match="several issuers"):  # a sub means something within its tenant alone
        AuthMiddleware(app, verifier, enrichment=Source())
    AuthMiddleware(app, verifier, enrichment=Enricher(Source(), issuers=["https://login.test/acme/v2.0"]))
    with pytest.raises(ValueError, match="not accepted"):
        AuthMiddleware(app, verifier, enrichment=Enricher(Source(), issuers=["https://other.test"]))


async def test_the_metadata_of_the_resource_names_no_template(provider: FakeIssuer, connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    guarded = AuthMiddleware(app, provider.verifier(tenants=["acme"]), resource="https://api.test")
    answer = await connect(guarded, path="/.well-known/oauth-protected-resource").run()
    assert "{" not in answer.body.decode().strip("{}")
    assert json.loads(answer.body)["resource"] == "https://api.test"


async def test_a_fake_of_tenants_publishes_the_metadata_of_each(provider: FakeIssuer) -> None:
    async with httpx.AsyncClient(transport=provider.client._transport) as client:
        answer = await client.get("https://login.test/acme/v2.0/.well-known/openid-configuration")
    assert answer.json()["issuer"] == "https://login.test/acme/v2.0"
