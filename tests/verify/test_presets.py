"""Presets: a token of the provider's real shape passes, and its dangerous neighbours are refused."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import pytest

from authkit_verify import AcceptConfig, IssuerAccept, Verifier, presets
from authkit_verify.testing import FakeIssuer
from fakes import provider_tokens as shapes
from fakes.verdicts import outcome

Changes = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A preset, a token that it accepts, and tokens that it refuses."""

    accept: IssuerAccept
    token: Changes
    seen: Changes
    """Attributes of the claims that the token gives."""
    refused: dict[str, tuple[Changes, str]]
    """Changes of the token by what it then is, each with the code; a value of None leaves the claim out."""
    typ: str | None = "JWT"


def only(payload: Changes, other: Changes) -> Changes:
    """Return the changes that turn one payload into another."""
    return dict.fromkeys(payload) | other


PRESETS: dict[str, Case] = {
    "entra": Case(
        presets.entra(shapes.TENANT.upper(), audiences=[shapes.API], clients=[shapes.WEB]),
        shapes.ENTRA_2,
        {
            "roles": ("Orders.Admin",), "scopes": ("orders.read", "orders.write"),
            "username": "ann@example.com", "client_id": shapes.WEB, "user_id": "pairwise-ann",
        },
        {
            "an ID token": (only(shapes.ENTRA_2, shapes.ENTRA_2_ID), "bad_claim"),
            "another client": ({"azp": shapes.API}, "bad_claim"),
            "another API": ({"aud": shapes.WEB}, "bad_audience"),
            "another tenant": ({"tid": shapes.API}, "bad_claim"),
            "the issuer of another tenant": (
                {"iss": shapes.ENTRA_2["iss"].replace("1111", "2222"), "tid": shapes.API}, "bad_issuer",
            ),
            "version 1": ({"ver": "1.0"}, "bad_claim"),
        },
    ),
    "entra version 1": Case(
        presets.entra(shapes.TENANT, audiences=["api://orders"], version=1),
        shapes.ENTRA_1,
        {
            "scopes": ("orders.read",), "username": "ann@example.com", "client_id": shapes.WEB,
            "amr": ("pwd", "mfa"),
        },
        {
            "an ID token": ({"appid": None, "scp": None}, "bad_claim"),
            "another API": ({"aud": "api://others"}, "bad_audience"),
            "version 2": ({"iss": shapes.ENTRA_2["iss"]}, "bad_issuer"),
        },
    ),
    "entra for several tenants": Case(
        presets.entra(
            tenants=[shapes.API, shapes.TENANT.upper()], audiences=[shapes.API], clients=[shapes.WEB]
        ),
        shapes.ENTRA_2,
        {"roles": ("Orders.Admin",), "tenant": shapes.TENANT, "user_id": "pairwise-ann"},
        {
            "an ID token": (only(shapes.ENTRA_2, shapes.ENTRA_2_ID), "bad_claim"),
            "another API": ({"aud": shapes.WEB}, "bad_audience"),
            "the tid of another tenant": ({"tid": shapes.API}, "bad_tenant"),
            "no tid": ({"tid": None}, "bad_tenant"),
            "a tenant that is not listed": (
                {"iss": f"https://login.microsoftonline.com/{shapes.WEB}/v2.0", "tid": shapes.WEB},
                "bad_tenant",
            ),
            "the name of all tenants": (
                {"iss": "https://login.microsoftonline.com/common/v2.0", "tid": "common"}, "bad_tenant",
            ),
            "version 1": ({"iss": shapes.ENTRA_1["iss"], "ver": "1.0"}, "bad_issuer"),
        },
    ),
    "entra version 1 for a function of tenants": Case(
        presets.entra(tenants=lambda tenant: tenant != shapes.WEB, audiences=["api://orders"], version=1),
        shapes.ENTRA_1,
        {"scopes": ("orders.read",), "tenant": shapes.TENANT},
        {
            "another tenant": (
                {"iss": f"https://sts.windows.net/{shapes.WEB}/", "tid": shapes.WEB}, "bad_tenant",
            ),
            "version 2": ({"iss": shapes.ENTRA_2["iss"]}, "bad_issuer"),
        },
    ),
    "auth0": Case(
        presets.auth0(
            "shop.eu.auth0.com", audiences=["https://api.shop"], roles_claim="https://shop.example/roles"
        ),
        shapes.AUTH0,
        {
            "roles": ("staff",), "scopes": ("openid", "profile", "read:orders"), "org": "org_1",
            "permissions": ("read:orders", "delete:orders"), "client_id": "web-client", "org_roles": (),
        },
        {
            "an ID token": (only(shapes.AUTH0, shapes.AUTH0_ID), "bad_audience"),
            "another API": ({"aud": ["https://other", "https://shop.eu.auth0.com/userinfo"]}, "bad_audience"),
            "an issuer without the slash": ({"iss": "https://shop.eu.auth0.com"}, "bad_issuer"),
        },
    ),
    "keycloak": Case(
        presets.keycloak("https://id.example.com/", "shop", client="orders"),
        shapes.KEYCLOAK,
        {
            "roles": ("offline_access", "staff", "editor"), "scopes": ("openid", "email", "profile"),
            "username": "ann", "client_id": "web", "groups": ("/sales",),
        },
        {
            "an ID token": ({"typ": "ID", "aud": "orders"}, "bad_claim"),
            "a logout token": ({"typ": "Logout"}, "bad_claim"),
            "a refresh token": ({"typ": "Refresh"}, "bad_claim"),
            "another API": ({"aud": "account"}, "bad_audience"),
            "no audience": ({"aud": None}, "bad_audience"),
            "another realm": ({"iss": "https://id.example.com/realms/master"}, "bad_issuer"),
        },
    ),
    "keycloak with clients": Case(
        presets.keycloak("https://id.example.com/auth", "shop", client="my.api", clients=["web"]),
        shapes.KEYCLOAK | {
            "iss": "https://id.example.com/auth/realms/shop", "aud": "account",
            "resource_access": {"my.api": {"roles": ["editor"]}},
        },
        {"roles": ("offline_access", "staff", "editor"), "audience": ("web",)},
        {
            "an ID token": ({"typ": "ID", "aud": "web"}, "bad_claim"),
            "another client": ({"azp": "evil", "aud": "web"}, "bad_audience"),
            "no client": ({"azp": None, "aud": "web"}, "bad_audience"),
        },
    ),
    "cognito": Case(
        presets.cognito("eu-west-1", "eu-west-1_AbCdEf", clients=["app1", "app2"]),
        shapes.COGNITO,
        {
            "roles": ("staff",), "groups": ("staff",), "username": "ann", "client_id": "app1",
            "scopes": ("aws.cognito.signin.user.admin", "orders/read"), "audience": ("app1",),
        },
        {
            "an ID token": (only(shapes.COGNITO, shapes.COGNITO_ID), "bad_claim"),
            "an ID token with a client": ({"token_use": "id", "aud": "app1"}, "bad_claim"),
            "another client": ({"client_id": "other"}, "bad_audience"),
            "no client": ({"client_id": None}, "bad_audience"),
            "a token for another resource": ({"aud": "https://other"}, "bad_audience"),
            "another pool": ({"iss": shapes.COGNITO["iss"][:-1] + "x"}, "bad_issuer"),
        },
    ),
    "cognito with a resource": Case(
        presets.cognito("eu-west-1", "eu-west-1_AbCdEf", clients=["app1"], audiences=["https://api"]),
        shapes.COGNITO | {"aud": "https://api"},
        {"audience": ("https://api",), "client_id": "app1"},
        {"another client": ({"client_id": "other"}, "bad_claim")},
    ),
    "okta": Case(
        presets.okta("https://shop.okta.com/oauth2/default", audiences=["api://default"], clients=["0oa1"]),
        shapes.OKTA,
        {
            "scopes": ("openid", "orders.read"), "username": "ann@example.com", "client_id": "0oa1",
            "groups": ("Everyone", "Sales"), "roles": (),
        },
        {
            "an ID token": ({"cid": None, "uid": None, "scp": None, "idp": "00o"}, "bad_claim"),
            "another client": ({"cid": "0oa2"}, "bad_claim"),
            "another API": ({"aud": "0oa1"}, "bad_audience"),
            "another server": ({"iss": "https://shop.okta.com/oauth2/aus2"}, "bad_issuer"),
        },
    ),
    "google": Case(
        presets.google(audiences=["1-web.apps.googleusercontent.com"], hosted_domains=["example.com"]),
        shapes.GOOGLE,
        {"email": "ann@example.com", "email_verified": True, "user_id": "110169484474386276334"},
        {
            "a private account": ({"hd": None}, "bad_claim"),
            "another organization": ({"hd": "example.org"}, "bad_claim"),
            "another application": ({"aud": "2-web.apps.googleusercontent.com"}, "bad_audience"),
        },
    ),
    "firebase": Case(
        presets.firebase("shop-1", sign_in_providers=["password", "google.com"]),
        shapes.FIREBASE,
        {"roles": ("staff",), "user_id": "uid1", "email_verified": True},
        {
            "an anonymous user": ({"firebase": {"sign_in_provider": "anonymous"}}, "bad_claim"),
            "another project": (
                {"iss": "https://securetoken.google.com/other", "aud": "other"}, "bad_issuer",
            ),
            "the audience of another project": ({"aud": "other"}, "bad_audience"),
            "no Firebase token": ({"firebase": None}, "bad_claim"),
        },
    ),
    "firebase with a tenant": Case(
        presets.firebase("shop-1", tenant="acme-1"),
        shapes.FIREBASE | {"firebase": {"sign_in_provider": "password", "tenant": "acme-1"}},
        {"org": "acme-1", "roles": ("staff",), "org_roles": ()},
        {
            "another tenant": ({"firebase": {"sign_in_provider": "password", "tenant": "x-1"}}, "bad_claim"),
            "no tenant": ({"firebase": {"sign_in_provider": "password"}}, "bad_claim"),
        },
    ),
    "supabase": Case(
        presets.supabase("abcdefgh"),
        shapes.SUPABASE,
        {"roles": ("staff",), "email": "ann@example.com"},
        {
            "an anonymous user": ({"is_anonymous": True}, "bad_claim"),
            "no word on anonymity": ({"is_anonymous": None}, "bad_claim"),
            "the service role": ({"role": "service_role"}, "bad_claim"),
            "another project": ({"iss": "https://other.supabase.co/auth/v1"}, "bad_issuer"),
            "the anonymous key": ({"aud": "anon"}, "bad_audience"),
            "another application": ({"client_id": "9a8b7c6d-5e4f-4a2b-8c0d-9e8f7a6b5c4d"}, "bad_audience"),
        },
    ),
    "clerk": Case(
        presets.clerk("clerk.example.com", authorized_parties=["https://app.example.com"]),
        shapes.CLERK,
        {"org": "org_1", "org_roles": ("admin",), "roles": (), "session_id": "sess_1"},
        {
            "another origin": ({"azp": "https://evil.example"}, "bad_audience"),
            "no origin": ({"azp": None}, "bad_audience"),
            "a pending session": ({"sts": "pending"}, "bad_claim"),
            "a token of a template": ({"sid": None, "sts": None}, "bad_claim"),
        },
    ),
    "workos": Case(
        presets.workos("client_1"),
        shapes.WORKOS,
        {
            "org": "org_1", "org_roles": ("member", "editor"), "roles": (), "permissions": ("posts:read",),
            "entitlements": ("audit-logs",),
        },
        {
            "another client": ({"iss": "https://api.workos.com/user_management/client_2"}, "bad_issuer"),
            "no session": ({"sid": None}, "bad_claim"),
        },
    ),
    "apple": Case(
        presets.apple(audiences=["com.example.app"]),
        shapes.APPLE,
        {"user_id": "000544.5e20.1321", "email_verified": False},
        {"another app": ({"aud": "com.example.other"}, "bad_audience")},
        typ=None,
    ),
    "github_actions": Case(
        presets.github_actions(
            audiences=["https://api.example.com"], repositories=["acme/shop"], owners=["acme"],
            required_claims={"ref": "refs/heads/main"},
        ),
        shapes.GITHUB,
        {"username": "ann", "user_id": "repo:acme/shop:ref:refs/heads/main", "roles": ()},
        {
            "another repository": ({"repository": "evil/shop"}, "bad_claim"),
            "another owner": ({"repository_owner": "evil"}, "bad_claim"),
            "another branch": ({"ref": "refs/pull/1/merge"}, "bad_claim"),
            "another audience": ({"aud": "https://github.com/acme"}, "bad_audience"),
        },
    ),
    "gitlab": Case(
        presets.gitlab(audiences=["https://api.example.com"], projects=["acme/shop"]),
        shapes.GITLAB,
        {"username": "ann", "roles": ()},
        {
            "another project": ({"project_path": "evil/shop"}, "bad_claim"),
            "a user's login": (only(shapes.GITLAB, shapes.GITLAB_LOGIN), "bad_claim"),
            "another audience": ({"aud": "https://gitlab.com"}, "bad_audience"),
        },
    ),
    "kubernetes": Case(
        presets.kubernetes(
            shapes.KUBERNETES["iss"], audiences=["orders"], namespaces=["web"],
            service_accounts=["web:frontend"],
        ),
        shapes.KUBERNETES,
        {"username": "frontend", "user_id": "system:serviceaccount:web:frontend"},
        {
            "another namespace": (
                {"kubernetes.io": shapes.KUBERNETES["kubernetes.io"] | {"namespace": "dev"}}, "bad_claim",
            ),
            "another account": ({"sub": "system:serviceaccount:web:other"}, "bad_claim"),
            "a token for the API server": ({"aud": [shapes.KUBERNETES["iss"]]}, "bad_audience"),
            "no service account": ({"kubernetes.io": {"namespace": "web"}}, "bad_claim"),
            "a legacy token": ({"exp": None}, "missing_exp"),
        },
        typ=None,
    ),
    "cloudflare_access": Case(
        presets.cloudflare_access("acme", audiences=["32eafc7626e9"]),
        shapes.CLOUDFLARE,
        {"username": "ann@example.com", "email": "ann@example.com", "email_verified": False},
        {
            "the session of the organization": ({"type": "org"}, "bad_claim"),
            "another application": ({"aud": ["ffff"]}, "bad_audience"),
            "another team": ({"iss": "https://evil.cloudflareaccess.com"}, "bad_issuer"),
            "a service token": ({"sub": "", "common_name": "svc.access"}, "invalid_token"),
        },
    ),
}  # fmt: skip


def issuer_of(case: Case) -> FakeIssuer:
    accept = case.accept
    algorithm = accept.algorithms[0] if accept.algorithms else "ES256"
    return FakeIssuer(accept.issuer, algorithm=algorithm, jwks_url=accept.jwks_url)


def minted(issuer: FakeIssuer, case: Case, changes: Changes) -> str:
    issuer.claims = {"aud": None} | case.token | changes
    return issuer.mint("ann", typ=case.typ)


def verifier_of(issuer: FakeIssuer, accept: IssuerAccept) -> Verifier:
    config = AcceptConfig(issuers=[accept], algorithms=["RS256", "ES256"])
    return Verifier(config, http_client=issuer.client)


@pytest.mark.parametrize("name", PRESETS)
async def test_a_token_of_the_provider_passes_and_its_dangerous_neighbours_do_not(name: str) -> None:
    case = PRESETS[name]
    issuer = issuer_of(case)
    async with verifier_of(issuer, case.accept) as verifier:
        claims = await verifier.verify(minted(issuer, case, {}))
        assert {attribute: getattr(claims, attribute) for attribute in case.seen} == case.seen
        codes = {
            what: await outcome(verifier, minted(issuer, case, made[0]))
            for what, made in case.refused.items()
        }
    assert codes == {what: made[1] for what, made in case.refused.items()}


def test_every_preset_has_a_token_of_its_shape_and_says_where_its_values_are_found() -> None:
    functions = {name for name in presets.__all__ if inspect.isfunction(getattr(presets, name))}
    assert {name.split()[0] for name in PRESETS} == functions
    for name in functions:
        lines = inspect.getdoc(getattr(presets, name)) or ""
        parameters = inspect.signature(getattr(presets, name)).parameters
        assert [one for one in parameters if f"{one}: " not in lines] == [], name


@pytest.mark.parametrize("name", PRESETS)
async def test_a_fake_of_a_preset_mints_tokens_that_it_accepts(name: str) -> None:
    accept = replace(PRESETS[name].accept, required_scopes=["a", "b"])
    issuer = FakeIssuer.of(accept)
    async with verifier_of(issuer, accept) as verifier:
        assert (await verifier.verify(issuer.mint())).scopes == ("a", "b")
        assert await outcome(verifier, issuer.mint(lifetime=-900)) == "token_expired"
        assert await outcome(verifier, issuer.mint(iss="https://other.test")) == "bad_issuer"


@pytest.mark.parametrize(
    "build",
    [
        lambda: presets.entra("common", audiences=["a"]),
        lambda: presets.entra("organizations", audiences=["a"]),
        lambda: presets.entra("example.onmicrosoft.com", audiences=["a"]),
        lambda: presets.entra("{tenantid}", audiences=["a"]),
        lambda: presets.entra(audiences=["a"]),
        lambda: presets.entra(shapes.TENANT, tenants=[shapes.TENANT], audiences=["a"]),
        lambda: presets.entra(tenants=[], audiences=["a"]),
        lambda: presets.entra(tenants=shapes.TENANT, audiences=["a"]),
        lambda: presets.entra(tenants=["common"], audiences=["a"]),
        lambda: presets.entra(tenants=lambda _: True, audiences=["a"], clients=[]),
        lambda: presets.entra(shapes.TENANT, audiences=[]),
        lambda: presets.entra(shapes.TENANT, audiences=["a"], clients=[]),
        lambda: presets.entra(shapes.TENANT, audiences=["a"], clients=[""]),
        lambda: presets.entra(shapes.TENANT, audiences=["a"], clients="web"),
        lambda: presets.entra(shapes.TENANT, audiences=["a"], required_claims={"azp": "x"}),
        lambda: presets.auth0("https://shop.auth0.com/", audiences=["a"]),
        lambda: presets.auth0("shop.auth0.com", audiences=["https://shop.auth0.com/userinfo"]),
        lambda: presets.auth0("shop.auth0.com", audiences=["a"], roles_claim="user_metadata.roles"),
        lambda: presets.keycloak("https://id.example", "shop", client="a", clients=[]),
        lambda: presets.keycloak("https://id.example", "shop", client='a"b'),
        lambda: presets.keycloak("http://id.example", "shop", client="a"),
        lambda: presets.cognito("eu-west-1", "us-east-1_A", clients=["a"]),
        lambda: presets.cognito("eu-west-1", "eu-west-1_A", clients=[]),
        lambda: presets.cognito("eu-west-1", "eu-west-1_A", clients="app1"),
        lambda: presets.cognito("eu-west-1", "eu-west-1_A", clients=["a"], audiences="api"),
        lambda: presets.okta("https://shop.okta.com", audiences=["a"]),
        lambda: presets.google(audiences=[]),
        lambda: presets.google(audiences=["a"], hosted_domains=[]),
        lambda: presets.firebase("shop", sign_in_providers=[]),
        lambda: presets.firebase("shop", tenant=""),
        lambda: presets.supabase("abc", roles_claim="user_metadata.roles"),
        lambda: presets.supabase("abc", clients="app"), lambda: presets.supabase("abc", clients=[""]),
        lambda: presets.clerk("clerk.example.com", authorized_parties=[]),
        lambda: presets.clerk("https://clerk.example.com", authorized_parties=["a"]),
        lambda: presets.workos("client_1", audiences=[]),
        lambda: presets.apple(audiences=[]),
        lambda: presets.supabase("abcd", anonymous="false"),  # type: ignore[arg-type]
        lambda: presets.github_actions(audiences=["a"]),
        lambda: presets.github_actions(audiences=[], owners=["acme"]),
        lambda: presets.github_actions(audiences=["a"], owners=[]),
        lambda: presets.gitlab(audiences=["a"]),
        lambda: presets.gitlab(audiences=["a"], namespaces="acme"),
        lambda: presets.kubernetes("https://k8s.example", audiences=["a"], service_accounts="web:a"),
        lambda: presets.kubernetes("https://k8s.example", audiences=["a"], namespaces=[]),
        lambda: presets.cloudflare_access("https://acme.cloudflareaccess.com", audiences=["a"]),
    ],
)  # fmt: skip
def test_an_insecure_preset_is_refused_when_it_is_built(build: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build()


def test_settings_are_passed_on_and_requirements_added() -> None:
    accept = presets.keycloak(
        "http://localhost:8080", "shop", client="api", allow_http_loopback=True, cache_ttl=60.0,
        required_claims={"acr": ["1", "2"]}, required_scopes=["orders"],
    )  # fmt: skip
    assert accept.required_claims == {"typ": ("Bearer", "DPoP"), "acr": ("1", "2")}
    assert (accept.cache_ttl, accept.required_scopes) == (60.0, ("orders",))


@pytest.mark.parametrize(
    ("clients", "codes"), [(("app",), [None, None, "bad_audience"]), (None, [None, None, None])]
)
async def test_an_application_of_supabase_calls_as_a_user_where_it_is_named(
    clients: tuple[str, ...] | None, codes: list[str | None]
) -> None:
    case = replace(PRESETS["supabase"], accept=presets.supabase("abcdefgh", clients=clients))
    issuer = issuer_of(case)
    async with verifier_of(issuer, case.accept) as verifier:
        changes: list[Changes] = [{}, {"client_id": "app"}, {"client_id": "other"}]
        assert [await outcome(verifier, minted(issuer, case, one)) for one in changes] == codes
        service = minted(issuer, case, {"client_id": "app", "role": "service_role"})
        assert await outcome(verifier, service) == "bad_claim"
    assert FakeIssuer.of(case.accept).claims["aud"] == "authenticated"
