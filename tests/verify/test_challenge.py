from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import override_settings

import fakes.django_site  # noqa: F401 - configures Django
from authkit_verify import AccessDenied, AuthMiddleware, SyncVerifier, TokenError, wsgi
from authkit_verify._asgi.challenge import Challenge
from authkit_verify.django.protection import protection
from authkit_verify.testing import FakeIssuer


def answer(error: Any, **challenge: Any) -> tuple[int, dict[str, str], dict[str, str], int]:
    refusal = Challenge(**challenge).refuse(error)
    headers = {name.decode(): value.decode() for name, value in refusal.headers}
    return refusal.status, headers, json.loads(refusal.body), refusal.close_code


def test_without_a_token_the_challenge_is_bare() -> None:
    status, headers, body, close = answer(TokenError("missing_token", "needs one"), scopes=("read",))
    assert (status, close) == (401, 1008)
    assert headers["www-authenticate"] == 'Bearer realm="authkit", scope="read"'
    assert body == {"error": "missing_token", "error_description": "needs one"}
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "code",
    ["invalid_token", "disallowed_alg", "unknown_kid", "missing_kid", "bad_issuer", "bad_audience",
     "bad_claim", "missing_exp", "token_expired", "user_disabled"],
)  # fmt: skip
def test_every_bad_token_is_an_invalid_token_with_a_sentence_and_its_fine_code_in_the_body(code: Any) -> None:
    status, headers, body, close = answer(TokenError(code, "because"))
    assert (status, close) == (401, 1008)
    assert headers["www-authenticate"] == (
        'Bearer realm="authkit", error="invalid_token", error_description="because"'
    )
    assert body["error"] == code


def test_a_bad_request_and_a_missing_scope_keep_their_registered_names() -> None:
    status, headers, *_ = answer(TokenError("invalid_request", "two tokens"))
    assert status == 400
    assert 'error="invalid_request"' in headers["www-authenticate"]
    status, headers, *_ = answer(TokenError("insufficient_scope", "lacks one", scopes=("read", "write")))
    assert status == 403
    assert 'error="insufficient_scope"' in headers["www-authenticate"]
    assert 'scope="read write"' in headers["www-authenticate"]


def test_unavailable_keys_say_when_to_come_back_and_blame_no_token() -> None:
    status, headers, _, close = answer(TokenError("keys_unavailable", "down", retry_after=2.1))
    assert (status, headers["retry-after"], close) == (503, "3", 1013)
    assert "www-authenticate" not in headers
    assert answer(TokenError("keys_unavailable", "down", retry_after=0.0))[1]["retry-after"] == "1"


def test_what_a_known_caller_may_not_do_is_403_without_a_challenge() -> None:
    status, headers, *_ = answer(AccessDenied("forbidden", "no"))
    assert status == 403
    assert "www-authenticate" not in headers


def test_step_up_names_the_age_it_wants() -> None:
    _, headers, *_ = answer(
        AccessDenied("insufficient_user_authentication", "again", max_age=60, acr_values=("a",))
    )
    assert headers["www-authenticate"].endswith('max_age="60", acr_values="a"')


def test_no_text_can_break_out_of_the_header() -> None:
    _, headers, *_ = answer(TokenError("invalid_request", 'a"\r\nx: y\\ é'))
    assert "\r" not in headers["www-authenticate"]
    assert 'description="a???x: y? ?"' in headers["www-authenticate"]
    for wrong in ({"realm": 'a"b'}, {"scopes": ("é",)}, {"resource_metadata": "a\nb"}):
        with pytest.raises(ValueError):
            Challenge(**wrong)


def test_a_single_scope_is_never_split_into_its_letters() -> None:
    issuer = FakeIssuer()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    def site() -> None:
        with override_settings(AUTHKIT={"ISSUERS": [issuer.accept()], "SCOPES": "read"}):
            protection()

    for make in (
        lambda: AuthMiddleware(asgi, issuer.verifier(), scopes="read"),
        lambda: wsgi.AuthMiddleware(lambda *_: [], SyncVerifier(issuer.accept()), scopes="read"),
        lambda: Challenge(scopes="read"),  # type: ignore[arg-type]
        lambda: Challenge(dpop_algorithms="ES256"),  # type: ignore[arg-type]
        site,
    ):
        with pytest.raises(ValueError, match="must be a list of strings, not the single string"):
            make()
    assert Challenge(scopes=["read"]).scopes == ("read",)  # type: ignore[arg-type]
