"""Invalid answers of a provider: each is refused."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from authkit_issuer import errors
from fakes.provider import CLIENT, RSA_KEY, SECRET, Reply, as_json


async def assert_refused(browser, kind: type[errors.AuthError] = errors.ProviderRefused, **changes: Any):
    landing = await browser.back(await browser.begin(), **changes)
    assert type(landing.refusal) is kind, landing.refusal
    assert (landing.code, landing.opened) == ("", None)
    assert await browser.service.users.newest() == []
    return landing.refusal


async def test_what_goes_out_is_bound_to_what_comes_back(browser):
    begun = await browser.begin()
    sent = {name: value[0] for name, value in parse_qs(urlsplit(begun.auth_url).query).items()}
    assert sent["redirect_uri"] == "https://id.example.test/auth/oidc/loop/callback"
    assert (sent["response_type"], sent["client_id"]) == ("code", CLIENT)
    assert (sent["state"], sent["code_challenge_method"]) == (begun.state, "S256")
    assert set(sent["scope"].split()) == {"openid", "email", "profile"}
    assert len(sent["nonce"]) == len(sent["code_challenge"]) == 43
    assert "prompt" not in sent


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS384", "RS512"])
async def test_asymmetric_signatures_of_the_providers_keys_are_taken(browser, algorithm):
    browser.idp.algorithm = algorithm
    browser.idp.claims["at_hash"] = None
    assert (await browser.login()).pair


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"nonce": ["a"]},
        {"aud": "somebody else"},
        {"aud": [CLIENT, "somebody else"]},
        {"aud": [CLIENT, "somebody else"], "azp": "somebody else"},
        {"azp": "somebody else"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"sub": ""},
        {"sub": None},
        {"sub": 7},
        {"sub": "x" * 256},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"at_hash": 7},
        {"exp": 1},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
    ],
    ids=json.dumps,
)
async def test_a_token_that_says_something_else_is_refused(browser, claims):
    browser.idp.claims |= claims
    await assert_refused(browser)


async def test_several_audiences_are_fine_when_the_token_was_asked_for_by_us(browser):
    browser.idp.claims |= {"aud": ["somebody else", CLIENT], "azp": CLIENT}
    assert (await browser.login()).pair


def unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return f"{encoded[0]}.{encoded[1]}."


@pytest.mark.parametrize(
    "token",
    [
        unsigned,
        lambda claims: jwt.encode(claims, SECRET.ljust(32, "x"), algorithm="HS256"),
        lambda claims: jwt.encode(claims, SECRET.ljust(32, "x"), algorithm="HS256", headers={"kid": "rsa"}),
        lambda claims: "not a token",
        lambda claims: unsigned(claims) + "AAAA",
    ],
    ids=["none", "hs256", "hs256-kid", "garbage", "none-signed"],
)
async def test_a_token_that_the_providers_keys_did_not_sign_is_refused(browser, token):
    browser.idp.token = token
    await assert_refused(browser)


async def test_a_token_of_another_kind_is_refused(browser):
    headers = {"kid": "rsa", "typ": "at+jwt"}
    browser.idp.token = lambda claims: jwt.encode(claims, RSA_KEY, "RS256", headers=headers)
    await assert_refused(browser)


@pytest.mark.parametrize(
    ("path", "reply", "kind"),
    [
        ("/token", Reply(status=400, body=b'{"error":"invalid_grant"}'), errors.ProviderRefused),
        ("/token", as_json({"error": "bad_verification_code"}), errors.ProviderRefused),
        ("/token", as_json({"access_token": "a"}), errors.ProviderRefused),
        ("/token", as_json({"id_token": 7}), errors.ProviderRefused),
        ("/token", as_json(["a"]), errors.ProviderUnavailable),
        ("/token", Reply(body=b"<html>"), errors.ProviderUnavailable),
        ("/token", Reply(body=b"[" * 100_000), errors.ProviderUnavailable),
        ("/token", Reply(body=b"{" + b" " * 1_048_576 + b"}"), errors.ProviderUnavailable),
        ("/token", Reply(status=500), errors.ProviderUnavailable),
        ("/token", Reply(status=429), errors.ProviderUnavailable),
        ("/token", Reply(status=302, headers={"location": "/jwks"}), errors.ProviderUnavailable),
        ("/token", Reply(body=b"x", headers={"content-encoding": "gzip"}), errors.ProviderUnavailable),
        ("/jwks", Reply(status=500), errors.ProviderUnavailable),
        ("/jwks", as_json({"keys": []}), errors.ProviderUnavailable),
    ],
    ids=lambda value: None if isinstance(value, type) else repr(value)[:60],
)
async def test_a_provider_that_misbehaves_opens_nothing(browser, path, reply, kind):
    browser.idp.replies[path] = reply
    landing = await browser.land()
    assert isinstance(landing.refusal, kind | errors.ProviderRefused if path == "/jwks" else kind)
    assert await browser.service.users.newest() == []


async def test_a_provider_that_never_answers_is_waited_for_so_long(browser, monkeypatch):
    begun = await browser.begin()
    monkeypatch.setattr("authkit_issuer.federation.http.TIMEOUT", 0.05)
    browser.idp.replies["/token"] = Reply(delay=True)
    assert isinstance((await browser.back(begun)).refusal, errors.ProviderUnavailable)


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://evil.example/authorize"},
        {"authorization_endpoint": 7},
    ],
    ids=json.dumps,
)
async def test_metadata_of_another_issuer_sends_no_browser_anywhere(browser, metadata):
    browser.idp.metadata |= metadata
    with pytest.raises(errors.ProviderUnavailable):
        await browser.begin()


async def test_metadata_that_sends_the_code_elsewhere_is_not_followed(browser):
    browser.idp.metadata["token_endpoint"] = "http://192.0.2.1/token"
    await assert_refused(browser, errors.ProviderUnavailable)


async def test_parameters_in_the_providers_address_are_not_repeated(browser):
    endpoint = f"{browser.idp.issuer}/authorize?tenant=a&client_id=evil&state=evil"
    browser.idp.metadata["authorization_endpoint"] = endpoint
    sent = parse_qs(urlsplit((await browser.begin()).auth_url).query)
    assert sent["tenant"] == ["a"]
    assert sent["client_id"] == [CLIENT]
    assert len(sent["state"]) == 1


async def test_the_answer_of_another_issuer_is_refused(browser):
    await assert_refused(browser, iss="https://evil.example")
    await assert_refused(browser, iss="")
    assert (await browser.back(await browser.begin(), iss=browser.idp.issuer)).refusal is None


async def test_an_issuer_that_promises_to_name_itself_must(make_service, providers, browser):
    browser.idp.metadata["authorization_response_iss_parameter_supported"] = True
    await assert_refused(browser)
    await assert_refused(browser, error="access_denied")
    assert (await browser.back(await browser.begin(), iss=browser.idp.issuer)).refusal is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("access_denied", "access_denied"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "provider_error"),
        ("<script>", "provider_error"),
        ("a b", "provider_error"),
        ("Access_Denied", "provider_error"),
        ("a\n", "provider_error"),
    ],
)
async def test_the_app_receives_a_providers_error_as_one_plain_word(browser, error, told, caplog):
    refusal = await assert_refused(browser, errors.ProviderDenied, error=error, code="")
    assert refusal.metadata == {"provider_error": told}
    assert all("\n" not in record.getMessage() for record in caplog.records)


async def test_an_answer_without_a_code_is_refused_after_the_state_is_used(browser):
    begun = await browser.begin()
    assert type((await browser.back(begun, code="")).refusal) is errors.Invalid
    assert isinstance((await browser.back(begun)).refusal, errors.InvalidState)
    await assert_refused(browser, errors.Invalid, code="x" * 4097)


async def test_the_code_goes_with_the_verifier_and_the_secret_in_the_way_the_provider_takes(
    browser, make_service, providers
):
    assert (await browser.login()).pair  # nothing said: HTTP Basic, form-encoded
    browser.idp.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    browser.service = await make_service(providers=providers, base_url="https://id.example.test")
    assert (await browser.login()).pair
    plain = {"loop": dataclasses.replace(providers["loop"], pkce=False, client_secret=lambda: SECRET)}
    browser.service = await make_service(providers=plain, base_url="https://id.example.test")
    begun = await browser.begin()
    assert "code_challenge" not in begun.auth_url
    assert (await browser.back(begun)).refusal is None
    wrong = {"loop": dataclasses.replace(providers["loop"], client_secret="wrong")}
    browser.service = await make_service(providers=wrong, base_url="https://id.example.test")
    assert isinstance((await browser.land()).refusal, errors.ProviderRefused)


async def test_metadata_and_keys_are_asked_once_and_serve_through_an_outage(browser, clock):
    for _ in range(3):
        await browser.login()
    paths = [path for _, path in browser.idp.requests]
    # One for the logins, one for the keys.
    assert paths.count("/.well-known/openid-configuration") == 2
    assert paths.count("/jwks") == 1
    browser.idp.replies["/.well-known/openid-configuration"] = Reply(status=500)
    clock.advance(3601)
    assert (await browser.login()).pair
    clock.advance(86_401)
    with pytest.raises(errors.ProviderUnavailable):
        await browser.begin()
    del browser.idp.replies["/.well-known/openid-configuration"]
    clock.advance(2)
    assert (await browser.login()).pair
