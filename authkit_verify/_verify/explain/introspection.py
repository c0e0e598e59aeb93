"""The part of an explanation that the issuer itself decides (RFC 7662)."""

from __future__ import annotations

from typing import Any

from authkit_verify._policy.introspection.introspector import Introspector
from authkit_verify._policy.introspection.live_claims import confirmed_claims, opaque_claims
from authkit_verify._policy.issuer_policy import IssuerPolicy
from authkit_verify._policy.opaque_tokens import OpaqueIssuers
from authkit_verify._verify.explain.explanation import CheckLog, Outcome, Redactor, address, issuer_setting
from authkit_verify.errors import TokenError

_SOURCE = "RFC 7662 2.2"


async def explain_opaque(
    log: CheckLog, redactor: Redactor, token: str, issuers: OpaqueIssuers
) -> tuple[IssuerPolicy | None, dict[str, Any] | None]:
    """Record what is seen of a token that is not a JWT, its issuer, and what that says about it.

    Returns the policy of the issuer and the claims of the answer, each None if it is unknown.
    """
    log.add("shape", "passed", f"{len(token)} characters, not a JWT", None, "RFC 6749 1.4")
    found = log.run(
        "issuer", "the prefix of the token", "Introspection.token_prefixes", _SOURCE,
        lambda: issuers.issuer_of(token),
    )  # fmt: skip
    if found is None:
        log.unknown("introspection", "not asked, because the issuer is unknown", _SOURCE)
        return None, None
    policy, asked = found
    try:
        answer = await asked.ask(token)
        payload = opaque_claims(answer.claims or {}, policy.issuer_in(answer.claims or {}))
    except TokenError as error:
        _failed(log, policy, asked, error)
        return policy, None
    _passed(log, redactor, policy, asked, payload)
    return policy, payload


async def explain_confirmation(
    log: CheckLog,
    redactor: Redactor,
    token: object,
    policy: IssuerPolicy,
    payload: dict[str, Any] | None,
    *,
    now: float,
    skew: float,
) -> dict[str, Any] | None:
    """Record what the issuer says about a JWT that passes every check here. Return the claims that count."""
    asked = policy.jwt_introspector
    if asked is None or payload is None or log.refused or not isinstance(token, str):
        log.unknown("introspection", "not asked, because an earlier check refuses the token", _SOURCE)
        return payload
    try:
        answer = await asked.ask(token)
        confirmed = confirmed_claims(answer.claims or {}, payload)
        policy.check_claims(confirmed, now, skew)
        if policy.tenancy is not None:
            await policy.tenancy.admit(confirmed)
    except TokenError as error:
        _failed(log, policy, asked, error)
        return payload
    _passed(log, redactor, policy, asked, answer.claims or {})
    return confirmed


def _passed(
    log: CheckLog, redactor: Redactor, policy: IssuerPolicy, asked: Introspector, claims: dict[str, Any]
) -> None:
    seen = f"the token is active; the answer has {redactor.value(sorted(claims))}"
    log.add("introspection", "passed", seen, _setting(policy, asked), _SOURCE)


def _failed(log: CheckLog, policy: IssuerPolicy, asked: Introspector, error: TokenError) -> None:
    outcome: Outcome = "failed"
    seen = error.description
    if error.code == "introspection_unavailable":
        outcome = "unknown"
        if asked.last_error is not None:
            seen = f"{seen} ({asked.last_error}); try `authkit doctor`"
    log.add("introspection", outcome, seen, _setting(policy, asked), _SOURCE, code=error.code)


def _setting(policy: IssuerPolicy, asked: Introspector) -> str:
    url = asked.settings.url
    return issuer_setting(policy.accept, "introspection.url", None if url is None else address(url))
