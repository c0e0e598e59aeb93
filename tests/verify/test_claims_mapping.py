"""Claims of other issuers: roles, scopes and the like under any name, and the values that a token needs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from authkit_verify import (
    AuthMiddleware,
    Claims,
    ClaimsMapping,
    Enricher,
    Enrichment,
    IssuerAccept,
    require_org_role,
    require_role,
    require_scope,
)
from authkit_verify._policy.claim_paths import ClaimPaths
from authkit_verify._policy.verified_claims import build
from authkit_verify.config.claims_mapping import claim_path
from authkit_verify.testing import FakeIssuer
from fakes.verdicts import code

BASE: dict[str, Any] = {"iss": "https://i.test", "sub": "u", "exp": 2_000_000_000}


def claims(mapping: ClaimsMapping, **more: Any) -> Claims:
    return build(BASE | more, ("api",), paths=ClaimPaths.of(mapping))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("roles", ("roles",)), ("realm_access.roles", ("realm_access", "roles")),
        ("cognito:groups", ("cognito:groups",)), ("https://ns.example/roles", ("https://ns.example/roles",)),
        ('resource_access."my.app".roles', ("resource_access", "my.app", "roles")),
        ('"kubernetes.io".namespace', ("kubernetes.io", "namespace")),
        ('resource_access."https://a.example".roles', ("resource_access", "https://a.example", "roles")),
        ("urn:zitadel:iam:org:id", ("urn:zitadel:iam:org:id",)), ('"a b"', ("a b",)), ("ö", ("ö",)),
    ],
)  # fmt: skip
def test_a_path_names_claims_with_dots_and_urls(name: str, path: tuple[str, ...]) -> None:
    assert claim_path(name) == path


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", 'a"b', '"a', '"a"b', '""', "a b", 'a."b', 7, None]
)
def test_a_malformed_path_is_refused_when_the_mapping_is_built(name: Any) -> None:
    for field in ("roles", "subject", "username"):
        with pytest.raises(ValueError, match=r"name|named|empty"):
            ClaimsMapping(**{field: [name]})
    with pytest.raises(ValueError, match="claim"):
        IssuerAccept(issuer="https://a.test", audiences=["api"], required_claims={name: "x"})


def test_an_empty_list_of_claims_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ClaimsMapping\.roles is empty"):
        ClaimsMapping(roles=[])


@pytest.mark.parametrize(
    "path", ["user_metadata.role", "a.unsafe_metadata", ["roles", "raw_user_meta_data.r"]]
)
def test_no_decision_rests_on_what_users_write_themselves(path: Any) -> None:
    for field in ("roles", "scopes", "permissions", "groups", "org", "org_roles", "subject", "audience"):
        with pytest.raises(ValueError, match="users can edit"):
            ClaimsMapping(**{field: path})
    assert ClaimsMapping(username="user_metadata.name").username == ("user_metadata.name",)


def test_only_a_mapping_is_a_mapping() -> None:
    with pytest.raises(ValueError, match="claims must be a ClaimsMapping"):
        IssuerAccept(issuer="https://a.test", audiences=["api"], claims={"roles": "r"})  # type: ignore[arg-type]


async def test_roles_of_another_issuer() -> None:
    keycloak = FakeIssuer("https://id.example/realms/shop")
    async with keycloak.verifier(claims=ClaimsMapping(roles="realm_access.roles")) as verifier:
        accepted = await verifier.verify(keycloak.mint("ann", realm_access={"roles": ["staff"]}))
        assert accepted.has_role("staff")
        assert (await verifier.verify(keycloak.mint("ann", roles=["staff"]))).roles == ()


async def test_a_client_in_place_of_the_audience() -> None:
    pool = FakeIssuer("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x")
    terms: dict[str, Any] = {"audiences": ["app1"], "claims": ClaimsMapping(audience=["aud", "client_id"])}
    async with pool.verifier(**terms) as verifier:
        accepted = await verifier.verify(pool.mint("ann", without=["aud"], client_id="app1"))
    assert (accepted.audience, accepted.client_id) == (("app1",), "app1")
    for refused in (
        pool.mint("ann", without=["aud"], client_id="other"),
        pool.mint("ann", without=["aud"]),
        pool.mint("ann", without=["aud"], azp="app1"),
        # A token for another audience is not for this one because of the client that asked for it.
        pool.mint("ann", aud="other-api", client_id="app1"),
        pool.mint("ann", aud=[], client_id="app1"),
        pool.mint("ann", aud="", client_id="app1"),
    ):
        assert await code(pool, refused, **terms) == "bad_audience"
    assert await code(pool, pool.mint("ann", aud={}, client_id="app1"), **terms) == "invalid_token"
    unmapped = pool.mint("ann", without=["aud"], client_id="app1")
    assert await code(pool, unmapped, audiences=["app1"]) == "bad_audience"


def test_lists_of_several_claims_are_joined_each_item_once() -> None:
    mapping = ClaimsMapping(
        roles=["realm_access.roles", "resource_access.shop.roles"],
        scopes=["scope", "permissions"],
        groups=["g", "h"],
    )
    made = claims(
        mapping, realm_access={"roles": ["a", "b"]}, resource_access={"shop": {"roles": ["b", "c"]}},
        scope="read write", permissions=["write", "delete all"], h="one", g=["two", 3],
    )  # fmt: skip
    assert made.roles == ("a", "b", "c")
    assert made.scopes == ("read", "write", "delete all")
    assert made.groups == ("two", "one")


def test_of_every_other_field_the_first_claim_that_is_present_counts() -> None:
    mapping = ClaimsMapping(
        username=["preferred_username", "email"], client_id=["azp", "appid"], org=["o.slg", "o.id"]
    )
    made = claims(mapping, preferred_username=None, email="a@b.test", azp=7, appid="app", o={"id": "org_1"})
    assert (made.username, made.org) == ("a@b.test", "org_1")
    assert made.client_id is None, "a claim of another type is present, and hides no other one"


def test_fields_without_a_mapping_keep_their_usual_claims() -> None:
    made = claims(
        ClaimsMapping(username="name"), name="Ann", username="other", roles=["r"], scp="s", permissions=["p"],
        groups=["g"], azp="app",
    )  # fmt: skip
    assert (made.username, made.roles, made.scopes, made.client_id) == ("Ann", ("r",), ("s",), "app")
    assert (made.permissions, made.groups) == (("p",), ("g",))
    assert (made.has_permission("p"), made.has_group("g")) == (True, True)
    assert (made.has_permission("P"), made.has_group("")) == (False, False)


def test_one_text_is_one_role_and_is_not_split() -> None:
    made = claims(ClaimsMapping(), roles="site admin", amr="pwd", entitlements="gold")
    assert (made.roles, made.amr, made.entitlements) == (("site admin",), ("pwd",), ("gold",))
    assert claims(ClaimsMapping(roles="role"), role="admin").roles == ("admin",)


@pytest.mark.parametrize(
    "value", [1, True, {"admin": 1}, [["admin"]], [{"name": "admin"}], None, "", [], 1.5]
)
def test_what_is_no_text_is_no_role(value: object) -> None:
    for mapping, more in (
        (ClaimsMapping(roles="r"), {"r": value}),
        (ClaimsMapping(roles="r.deep"), {"r": value}),
        (ClaimsMapping(roles="r.deep"), {"r": {"deep": value}}),
        (ClaimsMapping(roles="r.deep"), {"r": [{"deep": "admin"}]}),
        (ClaimsMapping(roles='"r.deep"'), {"r": {"deep": "admin"}}),
        (ClaimsMapping(roles="r.deep"), {"r.deep": "admin"}),
    ):
        assert claims(mapping, **more).roles == ()


def test_an_organization_hides_unmapped_roles_and_no_others() -> None:
    organization: dict[str, Any] = {"org": "acme", "roles": ["owner"], "app_roles": ["staff"]}
    unmapped = claims(ClaimsMapping(username="name"), **organization)
    assert (unmapped.roles, unmapped.org_roles, unmapped.org) == ((), ("owner",), "acme")
    mapped = claims(ClaimsMapping(roles="app_roles"), **organization)
    assert (mapped.roles, mapped.org_roles, mapped.has_org) == (("staff",), (), True)
    both = claims(
        ClaimsMapping(roles="app_roles", org="tenant", org_roles="roles"), tenant="t", **organization
    )
    assert (both.roles, both.org, both.org_roles) == (("staff",), "t", ("owner",))
    absent = claims(ClaimsMapping(org="tenant", org_roles="roles"), roles=["owner"])
    assert (absent.org, absent.org_roles) == (None, ())
    renamed = claims(ClaimsMapping(org="tenant"), tenant="t", roles=["owner"])
    assert (renamed.roles, renamed.org_roles) == ((), ("owner",))


async def test_guards_and_required_scopes_use_the_mapped_claims(connect: Any) -> None:
    issuer = FakeIssuer()
    mapping = ClaimsMapping(roles="app.roles", scopes="app.may", org="tid", org_roles="app.team")
    verifier = issuer.verifier(claims=mapping, required_scopes=["use"])
    good = issuer.mint(app={"roles": ["staff"], "may": ["use", "read"], "team": "lead"}, tid="t")
    bad = issuer.mint(app={"may": "use"}, roles=["staff"], scope="read", org="t", tid="u")

    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    for guard in (require_role("staff"), require_scope("read"), require_org_role("lead", org="t")):
        app = AuthMiddleware(guard(page), verifier=verifier)
        assert (await connect(app, token=good).run()).status == 200
        assert (await connect(app, token=bad).run()).status == 403
    lacking = issuer.mint(scope="use", app={"may": "read"})
    assert await code(issuer, lacking, claims=mapping, required_scopes=["use"]) == "insufficient_scope"
    await verifier.aclose()


async def test_the_subject_may_be_another_claim_only_where_it_is_mapped(issuer: FakeIssuer) -> None:
    terms: dict[str, Any] = {"claims": ClaimsMapping(subject=["sub", "client_id"])}
    async with issuer.verifier(**terms) as verifier:
        assert (await verifier.verify(issuer.mint(without=["sub"], client_id="app"))).user_id == "app"
        assert (await verifier.verify(issuer.mint("ann", client_id="app"))).user_id == "ann"
    assert await code(issuer, issuer.mint(without=["sub"], client_id="app")) == "invalid_token"
    for wrong in ({"sub": ""}, {"sub": 7}, {"sub": None, "client_id": 7}, {"sub": None, "client_id": None}):
        assert await code(issuer, issuer.mint(**{"client_id": "app"} | wrong), **terms) == "invalid_token"
    assert await code(issuer, issuer.mint(without=["sub"]), **terms) == "invalid_token"


async def test_explain_shows_the_mapped_values_and_the_required_ones(issuer: FakeIssuer) -> None:
    mapping = ClaimsMapping(
        roles="app.roles", username="login", audience=["aud", "azp"], subject=["sub", "azp"]
    )
    async with issuer.verifier(claims=mapping, required_claims={"azp": ["web"]}) as verifier:
        explanation = await verifier.explain(
            issuer.mint(app={"roles": ["staff"]}, login="ann", azp="cli", without=["aud"])
        )
    rows = {check.name: check for check in explanation.checks}
    assert rows["claims_mapping"].seen == "roles ['staff']; username 'ann'"
    assert (rows["required_claims"].outcome, rows["required_claims"].code) == ("failed", "bad_claim")
    assert "azp 'cli'" in rows["required_claims"].seen
    assert "required_claims = {'azp': ('web',)}" in str(rows["required_claims"].setting)
    assert rows["audience"].seen.endswith("aud or azp 'cli'")
    assert rows["subject"].seen.startswith("sub or azp is a string")


def test_mapped_claims_can_be_copied_and_pickled() -> None:
    made = claims(ClaimsMapping(roles="app.roles"), app={"roles": ["staff"]})
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert (twin, twin.roles) == (made, ("staff",))


class Records:
    """Records that give every user one role."""

    async def enrich(self, user_id: str) -> Enrichment:
        """Return the record of any user."""
        return Enrichment(allowed=True, roles=("recorded",))


@pytest.mark.parametrize(("mode", "roles"), [("missing", ("staff",)), ("always", ()), ("never", ("staff",))])
async def test_the_roles_of_the_records_never_count_in_an_organization(mode: Any, roles: Any) -> None:
    enricher = Enricher(Records(), issuers=["https://i.test"], roles=mode)
    mapped = claims(ClaimsMapping(roles="app"), app=["staff"], org="acme")
    assert enricher.roles_of(mapped, await enricher.of(mapped)) == roles
    unmapped = claims(ClaimsMapping(), roles=["staff"], org="acme")
    assert enricher.roles_of(unmapped, await enricher.of(unmapped)) == ()
