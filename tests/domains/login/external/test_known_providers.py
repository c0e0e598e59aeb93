"""Google, Apple, GitHub and Discord, as their documents describe them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import jwt
import pytest
import respx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import RSAAlgorithm

from authkit_issuer import errors
from authkit_issuer.config import ProviderConfig
from authkit_issuer.domains.login.external.service import (
    AuthorizationRequest,
    CallbackParameters,
    CallbackResult,
)
from fakes.factors import events
from fakes.provider import RSA_KEY

APPLE_KEY = ec.generate_private_key(ec.SECP256R1())
APPLE_PEM = APPLE_KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PROVIDERS = {
    "google": ProviderConfig(client_id="g", client_secret="gs"),
    "apple": ProviderConfig(client_id="a", team_id="TEAM", key_id="KEY", private_key_pem=APPLE_PEM),
    "github": ProviderConfig(
        client_id="h", client_secret="hs", scopes=("read:org", "read:user"), trusts_email=True
    ),
    "discord": ProviderConfig(client_id="d", client_secret="ds", trusts_email=True),
}


@pytest.fixture
async def service(make_service) -> Any:
    async with httpx.AsyncClient() as client:
        yield await make_service(providers=PROVIDERS, base_url="https://id.example.test", http_client=client)


async def begin(service, provider: str) -> tuple[AuthorizationRequest, dict[str, str]]:
    begun = await service.oidc_login.begin(provider)
    return begun, dict(parse_qsl(urlsplit(begun.auth_url).query))


async def back(service, provider: str, begun: AuthorizationRequest, **more: Any) -> CallbackResult:
    cookies = ((begun.cookie.name, begun.cookie.value),)
    given = {"state": begun.state, "code": "the code", "cookies": cookies, **more}
    return await service.oidc_login.finish(provider, CallbackParameters(**given), directly=True)


async def methods(service) -> list[str]:
    return [event["method"] for event in await events(service, "session_created")]


def document(router: respx.Router, issuer: str, host: str) -> None:
    router.get(f"{issuer}/.well-known/openid-configuration").respond(
        json={
            "issuer": issuer,
            "authorization_endpoint": f"https://{host}/auth/authorize",
            "token_endpoint": f"https://{host}/auth/token",
            "jwks_uri": f"https://{host}/auth/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        }
    )
    key = json.loads(RSAAlgorithm.to_jwk(RSA_KEY.public_key())) | {"kid": "k", "alg": "RS256"}
    router.get(f"https://{host}/auth/keys").respond(json={"keys": [key]})


def id_token(clock, **claims: Any) -> str:
    now = int(clock())
    return jwt.encode({"iat": now, "exp": now + 300, **claims}, RSA_KEY, "RS256", headers={"kid": "k"})


def form_of(route: respx.Route) -> dict[str, str]:
    return {name: value[0] for name, value in parse_qs(route.calls.last.request.content.decode()).items()}


async def test_google(service, clock, respx_mock):
    issuer = "https://accounts.google.com"
    document(respx_mock, issuer, "oauth2.google.test")
    begun, sent = await begin(service, "google")
    token = id_token(
        clock, iss=issuer, aud="g", azp="g", sub="1", nonce=sent["nonce"], email="ada@gmail.test",
        email_verified=True, name="Ada",
    )  # fmt: skip
    route = respx_mock.post("https://oauth2.google.test/auth/token").respond(
        json={"access_token": "a", "id_token": token}
    )
    landing = await back(service, "google", begun, iss=issuer)
    assert landing.opened.pair
    form = form_of(route)
    assert (form["client_id"], form["client_secret"], form["code"]) == ("g", "gs", "the code")
    assert form["redirect_uri"] == "https://id.example.test/auth/oidc/google/callback"
    assert len(form["code_verifier"]) == 43
    assert await methods(service) == ["oidc_login"]


async def test_apple_answers_with_a_form_and_takes_a_signed_secret_made_for_each_use(
    service, clock, respx_mock
):
    issuer = "https://appleid.apple.com"
    document(respx_mock, issuer, "appleid.apple.test")
    begun, sent = await begin(service, "apple")
    assert begun.cookie.cross_site
    assert (sent["response_mode"], sent["scope"]) == ("form_post", "openid email name")
    token = id_token(
        clock, iss=issuer, aud="a", sub="001.a", nonce=sent["nonce"], email="ada@icloud.com",
        email_verified="true",
    )  # fmt: skip
    route = respx_mock.post("https://appleid.apple.test/auth/token").respond(
        json={"access_token": "a", "id_token": token}
    )
    user = json.dumps({"name": {"firstName": "Ada", "lastName": "Lovelace"}, "email": "evil@example.test"})
    landing = await back(service, "apple", begun, user=user)
    made = await service.users.get(landing.opened.pair.user_id)
    assert (made.email, made.email_verified, made.username) == ("ada@icloud.com", True, "ada_user"), made
    secret = form_of(route)["client_secret"]
    times = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(secret, APPLE_KEY.public_key(), ["ES256"], audience=issuer, options=times)
    assert (claims["iss"], claims["sub"]) == ("TEAM", "a")
    assert claims["exp"] - claims["iat"] == 300
    assert jwt.get_unverified_header(secret)["kid"] == "KEY"


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ('{"name":{"firstName":"Grace","lastName":"Hopper"}}', "grace"),
        ('{"name":{"firstName":"Grace"}}', "grace"),
        ('{"name":"Grace"}', "apple"),
        ('{"name":{"firstName":7}}', "apple"),
        ("[" * 4000, "apple"),
        ("[1]", "apple"),
        ("nonsense", "apple"),
        ('{"name":{"firstName":"' + "x" * 5000 + '"}}', "apple"),
        ("", "apple"),
    ],
    ids=lambda value: value[:30],
)
async def test_apples_word_on_a_name_is_a_hint_that_may_be_anything(service, clock, respx_mock, user, name):
    issuer = "https://appleid.apple.com"
    document(respx_mock, issuer, "appleid.apple.test")
    begun, sent = await begin(service, "apple")
    token = id_token(clock, iss=issuer, aud="a", sub="001.a", nonce=sent["nonce"])
    respx_mock.post("https://appleid.apple.test/auth/token").respond(
        json={"access_token": "a", "id_token": token}
    )
    landing = await back(service, "apple", begun, user=user)
    made = await service.users.get(landing.opened.pair.user_id)
    assert made.username.startswith(name)


@pytest.mark.parametrize("pem", ["nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
async def test_an_apple_key_that_cannot_sign_stops_the_start_and_is_not_shown(make_service, pem):
    broken = ProviderConfig(client_id="a", team_id="TEAM", key_id="KEY", private_key_pem=pem)
    with pytest.raises(errors.ConfigError) as refused:
        await make_service(providers={"apple": broken}, base_url="https://id.example.test")
    assert pem not in str(refused.value)
    assert refused.value.__cause__ is None


def github(router: respx.Router, user: Any, emails: Any) -> respx.Route:
    router.get("https://api.github.com/user").respond(json=user)
    router.get("https://api.github.com/user/emails").respond(json=emails)
    return router.post("https://github.com/login/oauth/access_token").respond(
        json={"access_token": "gho_x", "token_type": "something", "scope": "user"}
    )


async def test_github_counts_the_address_that_is_primary_and_verified(service, respx_mock):
    begun, sent = await begin(service, "github")
    assert begun.auth_url.startswith("https://github.com/login/oauth/authorize?")
    assert sent["scope"] == "read:user user:email read:org"
    assert sent["code_challenge_method"] == "S256"
    route = github(
        respx_mock,
        {"id": 583231, "login": "Octo-Cat", "name": "The Octocat", "email": "profile@example.test"},
        [
            {"email": "old@example.test", "primary": False, "verified": True},
            {"email": "Octo@example.test", "primary": True, "verified": True},
        ],
    )
    pair = (await back(service, "github", begun)).opened.pair
    user = await service.users.get(pair.user_id)
    assert (user.email, user.email_verified, user.username) == ("octo@example.test", True, "octocat")
    (link,) = await service.providers.list_for_user(user.id)
    assert (link.issuer, link.subject) == ("https://github.com/login/oauth", "583231")
    assert link.username == "Octo-Cat"
    assert route.calls.last.request.headers["accept"] == "application/json"
    asked = respx_mock.calls.last.request
    assert asked.headers["authorization"] == "Bearer gho_x"
    assert asked.headers["accept"] == "application/vnd.github+json"
    assert await methods(service) == ["oauth_login:github"]


@pytest.mark.parametrize(
    "emails",
    [
        [{"email": "a@example.test", "primary": True, "verified": False}],
        [{"email": "a@example.test", "primary": False, "verified": True}],
        [{"email": 7, "primary": True, "verified": True}],
        ["a@example.test"],
        {"message": "no"},
    ],
)
async def test_github_without_such_an_address_gives_none(service, respx_mock, emails):
    github(respx_mock, {"id": 1, "login": "octo_cat", "email": "profile@example.test"}, emails)
    begun, _ = await begin(service, "github")
    pair = (await back(service, "github", begun)).opened.pair
    assert (await service.users.get(pair.user_id)).email is None


@pytest.mark.parametrize("user", [{"login": "a"}, {"id": True}, {"id": "1"}, {"id": 1.5}])
async def test_a_github_account_without_a_number_is_refused(service, respx_mock, user):
    respx_mock.get("https://api.github.com/user").respond(json=user)
    respx_mock.post("https://github.com/login/oauth/access_token").respond(json={"access_token": "a"})
    begun, _ = await begin(service, "github")
    assert isinstance((await back(service, "github", begun)).refusal, errors.ProviderRefused)


@pytest.mark.parametrize("token", [None, 7, "", "a b", "a\r\nx-evil: 1", "ü"])
async def test_an_access_token_that_cannot_stand_in_a_header_is_not_sent(service, respx_mock, token):
    respx_mock.post("https://github.com/login/oauth/access_token").respond(json={"access_token": token})
    begun, _ = await begin(service, "github")
    assert isinstance((await back(service, "github", begun)).refusal, errors.ProviderRefused)


async def test_discord(service, respx_mock):
    begun, sent = await begin(service, "discord")
    assert begun.auth_url.startswith("https://discord.com/api/oauth2/authorize?")
    assert sent["redirect_uri"] == "https://id.example.test/auth/oauth/discord/callback"
    assert (sent["scope"], sent["code_challenge_method"]) == ("identify email", "S256")
    route = respx_mock.post("https://discord.com/api/oauth2/token").respond(json={"access_token": "d-token"})
    me = {"id": "80351110224678912", "username": "nelly", "global_name": "Nelly", "email": "n@example.test"}
    respx_mock.get("https://discord.com/api/users/@me").respond(json=me | {"verified": True})
    pair = (await back(service, "discord", begun)).opened.pair
    user = await service.users.get(pair.user_id)
    assert (user.email, user.email_verified, user.username) == ("n@example.test", True, "nelly")
    assert form_of(route)["client_secret"] == "ds"
    claims = await service.tokens.verify(pair.access_token)
    assert claims.raw["provider"] == "discord"
    assert await methods(service) == ["oauth_login:discord"]
    again, _ = await begin(service, "discord")
    later = (await back(service, "discord", again)).opened.pair
    assert (await service.tokens.verify(later.access_token)).discord_username == "nelly"


@pytest.mark.parametrize("me", [{}, {"id": 7}, {"id": "abc"}, {"id": ""}])
async def test_a_discord_account_without_a_number_is_refused(service, respx_mock, me):
    respx_mock.post("https://discord.com/api/oauth2/token").respond(json={"access_token": "d-token"})
    respx_mock.get("https://discord.com/api/users/@me").respond(json=me)
    begun, _ = await begin(service, "discord")
    assert isinstance((await back(service, "discord", begun)).refusal, errors.ProviderRefused)


async def test_an_answer_of_one_provider_is_not_taken_for_another(service, respx_mock):
    begun, _ = await begin(service, "discord")
    assert isinstance((await back(service, "github", begun)).refusal, errors.InvalidState)
    assert respx_mock.calls.call_count == 0


async def test_no_provider_is_asked_before_a_login_and_an_unknown_one_is_refused(service, respx_mock):
    for name in ("facebook", "", "GOOGLE", "../google"):
        with pytest.raises(errors.UnknownProvider):
            await service.oidc_login.begin(name)
        with pytest.raises(errors.UnknownProvider):
            await service.oidc_login.finish(name, CallbackParameters())
    assert respx_mock.calls.call_count == 0
