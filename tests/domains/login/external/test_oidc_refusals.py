"""Why a login failed: one line in the log for the operator, and the name of the check for the app."""

from __future__ import annotations

import dataclasses
import json
import logging

import pytest

from authkit_issuer import errors
from fakes.provider import CLIENT, SECRET, Reply, as_json

BASE = "https://id.example.test"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "authkit.providers" and record.levelno >= logging.WARNING
    ]


async def refusal(browser, **changes):
    landing = await browser.back(await browser.begin(), **changes)
    assert landing.refusal is not None
    return landing.refusal


@pytest.mark.parametrize(
    ("claims", "check", "said"),
    [
        ({"aud": "another client"}, "audience", ["our client", "aud 'another client'"]),
        ({"iss": "<issuer>/"}, "issuer", ["AcceptConfig.issuers", "trailing slash"]),
        ({"nonce": "n-of-another-login"}, "nonce", ["the nonce of this login", "another one"]),
        ({"nonce": None}, "nonce", ["nothing"]),
        ({"iat": "<in 300 s>"}, "issued_at", ["skew = 60", "issued in the future"]),
        ({"exp": 1}, "expiry", ["exp 1970-01-01"]),
        ({"azp": "another client"}, "azp", ["'our client'", "'another client'"]),
        ({"at_hash": "AAAA"}, "at_hash", ["the hash of the access token"]),
        ({"sub": "x" * 256}, "subject", ["a text of 256 characters"]),
    ],
    ids=json.dumps,
)
async def test_a_failed_check_is_one_warning_with_what_was_expected_and_what_was_found(
    browser, clock, caplog, claims, check, said
):
    words = {"<issuer>/": f"{browser.idp.issuer}/", "<in 300 s>": int(clock()) + 300}
    made: list[str] = []

    def token(right):
        made.append(browser.idp.sign(right))
        return made[-1]

    browser.idp.token = token
    browser.idp.claims |= {
        name: words.get(value, value) if isinstance(value, str) else value for name, value in claims.items()
    }
    refused = await refusal(browser)
    assert (refused.code, refused.metadata) == ("oidc_exchange_failed", {"check": check})
    (line,) = warnings(caplog)
    assert line.startswith(f"provider loop: check {check} failed: ")
    assert all(word in line for word in said), line
    payload = made[0].split(".")[1]
    assert not any(payload[at : at + 12] in line for at in range(len(payload) - 12))
    assert "n-of-another-login" not in line


async def test_what_the_provider_says_of_a_wrong_secret_is_in_the_log(
    make_service, providers, browser, caplog
):
    wrong = {"loop": dataclasses.replace(providers["loop"], client_secret="wrong secret")}
    browser.service = await make_service(providers=wrong, base_url=BASE)
    refused = await refusal(browser)
    assert refused.metadata == {"check": "response"}
    (line,) = warnings(caplog)
    assert "provider loop: check response failed: " in line
    assert "status 401, error 'invalid_client'" in line


async def test_the_providers_words_are_cut_short_and_repeat_no_secret(browser, caplog):
    begun = await browser.begin()
    code = browser.idp.approve(begun.auth_url)["code"]
    said = f"the code {code} of\nthe client {CLIENT} with {SECRET} is old. " + "x" * 5000
    browser.idp.replies["/token"] = as_json({"error": "invalid_grant", "error_description": said}, 400)
    landing = await browser.back(begun, code=code)
    assert landing.refusal is not None
    (line,) = warnings(caplog)
    assert "error 'invalid_grant', error_description 'the code (left out) of\\nthe client" in line
    assert code not in line
    assert SECRET not in line
    assert len(line) < 600


@pytest.mark.parametrize(
    "body", [b"<html>", b"[1]", b'{"error": {"a": [1]}}', b'{"error": "\\ud800"}', b"\xff"]
)
async def test_a_refusal_in_any_shape_is_a_refusal(browser, caplog, body):
    browser.idp.replies["/token"] = Reply(status=400, body=body)
    assert isinstance(await refusal(browser), errors.ProviderRefused)
    assert len(warnings(caplog)) == 1


async def test_metadata_of_another_issuer_says_which_two_differ(browser, caplog):
    browser.idp.metadata["issuer"] = f"{browser.idp.issuer}/"
    with pytest.raises(errors.ProviderUnavailable):
        await browser.begin()
    (line,) = warnings(caplog)
    assert f"expected '{browser.idp.issuer}'; found '{browser.idp.issuer}/'" in line


async def test_the_answer_of_another_issuer_says_which_two_differ(browser, caplog):
    assert (await refusal(browser, iss="https://evil.example")).metadata == {"check": "iss"}
    (line,) = warnings(caplog)
    assert f"expected '{browser.idp.issuer}'; found 'https://evil.example'" in line


async def test_what_a_provider_says_in_the_browser_is_in_the_log_and_no_further(browser, caplog):
    refused = await refusal(browser, error="invalid_scope", error_description="no \nscope " + "x" * 500)
    assert refused.metadata == {"provider_error": "invalid_scope"}
    (line,) = warnings(caplog)
    assert line.startswith("provider loop answered the error 'invalid_scope', described as 'no \\nscope xxx")
    assert len(line) < 400
    # A user who says no is nothing that an operator must see to.
    await refusal(browser, error="access_denied")
    assert len(warnings(caplog)) == 1


async def test_a_check_that_cannot_be_made_for_want_of_keys_is_an_outage_with_a_line(browser, caplog):
    browser.idp.replies["/jwks"] = Reply(status=500)
    assert isinstance(await refusal(browser), errors.ProviderUnavailable)
    assert any("provider loop: check keys failed" in line for line in warnings(caplog))
