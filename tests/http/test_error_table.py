"""The complete map from codes to statuses, as clients may rely on it."""

from __future__ import annotations

import json

# Every module that defines a refusal, so that the map below is complete.
import authkit_issuer.http.app
from authkit_issuer import errors
from authkit_issuer.errors import AuthError
from authkit_issuer.http.errors import (
    STATUS,
    InvalidClient,
    StepUpRequired,
    internal,
    oauth_code,
    refuse,
    status_of,
    token_error_status,
)
from authkit_issuer.http.openapi import TOKEN_CODES
from authkit_verify import TokenError
from fakes.laws import for_each

assert authkit_issuer.http.app.OPERATIONS

CODES = {
    400: {
        "2fa_method_invalid", "2fa_name_invalid",
        "biography_too_long", "current_password_required", "disallowed_alg",
        "email_in_use", "email_unchanged", "invalid_address", "invalid_email", "invalid_expiry",
        "invalid_identifier", "invalid_or_expired_code", "invalid_or_expired_token", "invalid_org_role",
        "invalid_org_slug", "invalid_password_hash", "invalid_phone_number", "invalid_request",
        "invalid_role_slug", "invalid_slug", "invalid_state", "invalid_target", "invalid_until",
        "invalid_username_for_owner_namespace", "no_pending_email_change", "no_pending_phone_change",
        "org_mode_not_multi", "owner_slug_reserved", "owner_slug_taken", "password_breached",
        "password_too_common", "password_too_long", "password_too_short", "phone_in_use", "phone_unchanged",
        "reserved_claim", "reserved_role_slug", "search_too_slow", "siws_address_mismatch",
        "siws_domain_invalid", "siws_message_invalid", "invalid_scope", "unsupported_grant_type",
        "username_cannot_contain_at", "username_in_use", "username_invalid_characters",
        "username_must_start_with_letter", "username_reserved", "username_too_long", "username_too_short",
        "invalid_passkey_name",
    },
    401: {
        "two_factor_enrollment_required",
        "email_not_verified", "evicted", "login_frozen", "invalid_challenge", "invalid_client",
        "invalid_credentials", "invalid_refresh_token", "oidc_exchange_failed", "password_reset_required",
        "phone_not_verified", "provider_error", "refresh_token_reuse_detected", "session_ended",
        "siws_challenge_expired", "siws_challenge_mismatch", "siws_challenge_not_found",
        "siws_signature_invalid", "siws_timestamp_invalid", "two_factor_required", "user_banned",
        "user_deleted", "user_disabled", "passkey_challenge_expired", "passkey_invalid",
        "passkey_suspended", "passkey_unknown",
    },
    403: {
        "two_factor_required_by_org",
        "account_proof_required", "forbidden", "invalid_password", "loopback_only", "not_org_member",
        "org_invite_not_for_user", "sign_in_began_elsewhere", "step_up_required",
    },
    404: {
        "2fa_device_not_found", "2fa_factor_not_found", "member_not_found",
        "not_found", "org_invite_not_found", "org_not_found", "org_role_not_found",
        "personal_org_not_found", "provider_not_linked", "role_not_found", "session_not_found",
        "unknown_kid", "unknown_provider", "user_not_found", "webhook_not_found", "passkey_not_found",
        "recovery_not_found",
    },
    405: {
        "method_not_allowed",
    },
    408: {
        "request_timeout",
    },
    409: {
        "2fa_factor_exists", "2fa_method_unavailable", "2fa_not_enabled", "2fa_too_many_factors",
        "account_exists_link_required", "account_not_active", "already_confirmed",
        "already_org_member", "cannot_remove_last_admin_role", "cannot_remove_last_owner",
        "cannot_remove_personal_org_owner", "cannot_unlink_last_login_method", "conflict",
        "org_invite_already_pending", "org_invite_expired", "org_invite_not_pending",
        "org_membership_limit_exceeded", "org_role_limit_exceeded", "own_account", "personal_org_locked",
        "protected_org_role", "provider_already_linked", "wallet_already_linked",
        "passkey_already_registered", "passkey_limit_exceeded",
        "recovery_not_ready", "recovery_unavailable",
    },
    413: {
        "payload_too_large",
    },
    415: {
        "unsupported_media_type",
    },
    429: {
        "rate_limited", "too_many_requests",
    },
    501: {
        "email_unavailable", "missing_signer", "not_configured", "sms_unavailable",
        "storage_not_configured", "passkeys_not_configured", "passwordless_not_configured",
        "recovery_not_configured",
    },
    502: {
        "delivery_failed", "email_delivery_failed", "sms_delivery_failed",
    },
    503: {
        "breach_check_unavailable", "database_unavailable", "entitlements_unavailable",
        "ephemeral_store_unavailable", "not_ready", "provider_unavailable", "server_busy", "unavailable",
    },
}  # fmt: skip


def _leaves(kind: type[AuthError]) -> list[type[AuthError]]:
    found = [] if kind is AuthError or kind.__name__.startswith("_") else [kind]
    return found + [leaf for child in kind.__subclasses__() for leaf in _leaves(child)]


# What a sink raises is met by the outbox alone; whether its module is loaded must not matter here.
LEAVES = [
    kind
    for kind in _leaves(AuthError)
    if kind.__module__.startswith("authkit_issuer.")
    and not kind.__module__.startswith("authkit_issuer.sinks.")
]

every = for_each(LEAVES, lambda kind: kind.__name__)


def test_every_refusal_has_exactly_the_status_written_down_here():
    found: dict[int, set[str]] = {}
    for kind in LEAVES:
        found.setdefault(status_of(kind), set()).add(kind.code)
    assert found == CODES


def test_one_code_never_has_two_statuses():
    everything = [code for codes in CODES.values() for code in codes]
    assert len(everything) == len(set(everything))


def test_every_base_of_the_error_tree_has_a_status():
    assert {kind for kind in AuthError.__subclasses__() if not kind.__name__.startswith("_")} <= set(STATUS)


@for_each(TOKEN_CODES, str)
def test_a_refused_access_token_is_401_except_for_the_two_that_are_not_its_fault(code):
    expected = {"invalid_request": 400, "keys_unavailable": 503}.get(code, 401)
    assert token_error_status(code) == expected
    answer = refuse(TokenError(code, "why"), "r1")
    assert json.loads(answer.body) == {"error": code, "error_description": "why", "request_id": "r1"}
    names = {name for name, _ in answer.headers}
    assert (b"retry-after" if expected == 503 else b"www-authenticate") in names


@every
def test_every_refusal_makes_a_complete_envelope(kind):
    error = kind()
    error.param, error.metadata = "field", {"fact": 1}
    answer = refuse(error, "r1")
    assert json.loads(answer.body) == {
        "error": kind.code,
        "error_description": kind.default,
        "param": "field",
        "metadata": {"fact": 1},
        "request_id": "r1",
    }
    assert kind.default.endswith(".")


@every
def test_headers_say_what_to_do_next(kind):
    headers = dict(refuse(kind(), "r1").headers)
    challenged = issubclass(kind, errors.Unauthenticated | StepUpRequired)
    assert (b"www-authenticate" in headers) == challenged
    assert (b"retry-after" in headers) == issubclass(kind, errors.Limited | errors.Unavailable)


def test_a_challenge_speaks_of_the_token_only_when_one_came():
    bare = dict(refuse(errors.InvalidCredentials(), "r").headers)[b"www-authenticate"]
    about = dict(refuse(errors.SessionEnded(), "r", bearer=True).headers)[b"www-authenticate"]
    assert bare == b'Bearer realm="authkit"'
    assert (
        about == b'Bearer realm="authkit", error="invalid_token", error_description="The session has ended."'
    )


@for_each([kind for kind in LEAVES if kind.code != "invalid_client"], lambda kind: kind.__name__)
def test_a_good_token_is_refused_with_401_only_by_what_ends_it(kind):
    answer = refuse(kind(), "r", bearer=True)
    ends_it = issubclass(kind, errors.SessionEnded | errors.UserDisabled | errors.UserBanned)
    assert (answer.status == 401) == ends_it
    if issubclass(kind, errors.Unauthenticated) and not ends_it:
        assert answer.status == 403
        assert b"www-authenticate" not in dict(answer.headers)
    elif not ends_it:
        assert answer.status == status_of(kind)


def test_retry_after_is_in_whole_seconds_of_at_least_one():
    assert dict(refuse(errors.TooManyRequests(retry_after=0.2), "r").headers)[b"retry-after"] == b"1"
    assert dict(refuse(errors.ServerBusy(retry_after=2.1), "r").headers)[b"retry-after"] == b"3"


@every
def test_the_token_endpoint_refuses_credentials_as_invalid_grant(kind):
    answer = refuse(kind(), "r", oauth=True)
    body = json.loads(answer.body)
    if issubclass(kind, InvalidClient):
        assert (answer.status, body["error"]) == (401, "invalid_client")
        assert dict(answer.headers)[b"www-authenticate"].startswith(b"Basic ")
    elif issubclass(kind, errors.Unauthenticated):
        assert (answer.status, body["error"], body["metadata"]["reason"]) == (400, "invalid_grant", kind.code)
        assert b"www-authenticate" not in dict(answer.headers)
    elif issubclass(kind, errors.NotFound | errors.Denied):
        assert (answer.status, body["error"], body["metadata"]["reason"]) == (
            400,
            "invalid_target",
            kind.code,
        )
    else:
        assert (answer.status, body["error"]) == (status_of(kind), oauth_code(kind))


def test_what_was_not_foreseen_is_opaque():
    answer = internal("r1")
    assert answer.status == 500
    assert json.loads(answer.body) == {
        "error": "internal_error",
        "error_description": "Internal server error.",
        "request_id": "r1",
    }
