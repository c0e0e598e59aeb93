"""No text of a provider is more than the database, a header or the log can take."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from authkit_issuer import errors
from fakes.provider import Reply

TEXTS = {
    "nul": "a\x00b",
    "surrogate": "a\ud800b",
    "lines": "a\r\nset-cookie: x=1",
    "long": "a" * 100_000,
    "bidi": "a\u202eb",
}
ID_TOKEN = ("sub", "email", "name", "preferred_username", "nonce", "azp", "at_hash", "iss", "aud", "jti")
ENDPOINTS = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
hostile = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())


@hostile
@pytest.mark.parametrize("member", ID_TOKEN)
async def test_a_claim_of_an_id_token_is_taken_or_refused(browser, member, text):
    # The signing library writes no lone surrogate by itself.
    browser.idp.claims[member] = text
    await lands_or_is_refused(browser)


@hostile
@pytest.mark.parametrize("member", ["id_token", "access_token", "token_type", "error", "error_description"])
async def test_a_member_of_a_token_response_is_taken_or_refused(browser, member, text):
    begun = await browser.begin()
    given = browser.idp.approve(begun.auth_url)
    right = {"access_token": "the access token"}
    right["id_token"] = browser.idp.sign(browser.idp.right_claims(browser.idp.asked["nonce"]))
    browser.idp.replies["/token"] = Reply(body=json.dumps(right | {member: text}).encode())
    landing = await browser.back(begun, **given)
    assert landing.refusal is None or isinstance(landing.refusal, errors.AuthError)


@hostile
@pytest.mark.parametrize("member", ENDPOINTS)
async def test_an_address_in_the_metadata_is_used_or_refused(browser, member, text):
    right = f"{browser.idp.issuer}/{member}"
    browser.idp.metadata[member] = f"{right}{text}"
    try:
        begun = await browser.begin()
    except errors.ProviderUnavailable:
        return
    assert begun.auth_url.isascii()
    assert begun.auth_url.isprintable()
    assert urlsplit(begun.auth_url).netloc == urlsplit(browser.idp.issuer).netloc
    landing = await browser.back(begun)
    assert landing.refusal is None or isinstance(landing.refusal, errors.AuthError)


@hostile
@pytest.mark.parametrize("member", ["code", "error", "error_description", "iss", "state", "user"])
async def test_a_parameter_of_the_callback_is_taken_or_refused(browser, member, text):
    begun = await browser.begin()
    landing = await browser.back(begun, **{member: text})
    assert landing.refusal is None or isinstance(landing.refusal, errors.AuthError)


@hostile
@pytest.mark.parametrize("member", ["id", "email", "username", "global_name"])
async def test_a_member_of_a_discord_profile_is_taken_or_refused(make_service, respx_mock, member, text):
    await profile_lands_or_is_refused(make_service, respx_mock, "discord", member, text)


@hostile
@pytest.mark.parametrize("member", ["id", "login", "name", "email"])
async def test_a_member_of_a_github_profile_is_taken_or_refused(make_service, respx_mock, member, text):
    await profile_lands_or_is_refused(make_service, respx_mock, "github", member, text)


async def lands_or_is_refused(browser) -> None:
    landing = await browser.land()
    if landing.refusal is None:
        assert (await browser.trade(landing)).pair
    else:
        assert isinstance(landing.refusal, errors.AuthError)
        assert not isinstance(landing.refusal, errors.Unavailable)


async def profile_lands_or_is_refused(
    make_service: Any, router: Any, provider: str, member: str, text: str
) -> None:
    import httpx

    from authkit_issuer.config import ProviderConfig
    from authkit_issuer.domains.login.external.service import CallbackParameters

    right = {
        "discord": {"id": "1", "email": "ada@example.test", "verified": True, "username": "ada"},
        "github": {"id": 1, "login": "ada", "name": "Ada"},
    }[provider]
    emails = [{"email": text if member == "email" else "a@example.test", "primary": True, "verified": True}]
    tokens = {"discord": "https://discord.com/api/oauth2/token"}
    router.post(tokens.get(provider, "https://github.com/login/oauth/access_token")).respond(
        json={"access_token": "t"}
    )
    answer = json.dumps(right | {member: text}).encode()
    router.get("https://discord.com/api/users/@me").respond(content=answer)
    router.get("https://api.github.com/user").respond(content=answer)
    router.get("https://api.github.com/user/emails").respond(content=json.dumps(emails).encode())
    router.assert_all_called = router._assert_all_called = False
    async with httpx.AsyncClient() as client:
        service = await make_service(
            providers={provider: ProviderConfig(client_id="c", client_secret="s")},
            base_url="https://id.example.test",
            http_client=client,
        )
        begun = await service.oidc_login.begin(provider)
        cookies = ((begun.cookie.name, begun.cookie.value),)
        parameters = CallbackParameters(state=begun.state, code="c", cookies=cookies)
        landing = await service.oidc_login.finish(provider, parameters, directly=True)
    if landing.refusal is None:
        assert landing.opened.pair
    else:
        assert isinstance(landing.refusal, errors.AuthError)
        assert not isinstance(landing.refusal, errors.Unavailable)
