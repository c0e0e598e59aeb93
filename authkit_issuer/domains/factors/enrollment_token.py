"""Enrollment tokens: what a right first factor gets where policy requires a second one and there is none.

A token is a JWT of a type of its own, for ten minutes, whose audience is the issuer itself. It adds a second
factor at the epoch of the sign-in, and does nothing else: the factor raises the epoch, and the user signs in
again with it.
"""

from __future__ import annotations

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.factors.kinds import PASSKEY
from authkit_issuer.domains.sessions.queries import ENROLLEE, AuthenticatedSession
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.own_tokens import ENROLLMENT, enrollment_audience
from authkit_issuer.security.token_codec import random_text
from authkit_issuer.store.predicates import OWNS_PASSKEY
from authkit_issuer.store.query import Query
from authkit_verify import TokenError

# No row if the account changed.
HAS_PASSKEY_AT = Query(
    bool, f"select {OWNS_PASSKEY} from profiles.users u where u.id = $1::uuid and u.auth_epoch = $2"
)


TTL = 600
"""Seconds that a token is valid."""
_EPOCH, _METHOD = "auth_epoch", "method"


async def refuse_without_factor(rt: Runtime, first: FirstFactor) -> None:
    """Raise ``TwoFactorEnrollmentRequired`` for a sign-in that policy lets open nothing.

    Where passkeys are on, an account with one gets a token for the passkey alone: a password must not do to
    add a factor.

    Raises ``InvalidCredentials`` if the account changed since the first factor.
    """
    config = rt.config
    exempt = first.two_factor or first.is_multi_factor or first.method in config.two_factor_exempt_methods
    if config.two_factor_policy != "required" or exempt:
        return
    has_passkey = await rt.maybe(HAS_PASSKEY_AT, first.user_id, first.auth_epoch)
    if has_passkey is None:
        raise errors.InvalidCredentials
    if has_passkey and PASSKEY.available(rt) and first.method != PASSKEY.name:
        raise errors.TwoFactorEnrollmentRequired(
            "This service requires a second factor: sign in with your passkey, then add one.",
            metadata={"methods": ["passkey"]},
        )
    raise errors.TwoFactorEnrollmentRequired(
        metadata={"enrollment_token": _issue(rt, first), "expires_in": TTL}
    )


def _issue(rt: Runtime, first: FirstFactor) -> str:
    now = int(rt.clock())
    claims = {
        "iss": rt.config.issuer,
        "sub": first.user_id,
        "aud": enrollment_audience(rt.config),
        "iat": now,
        "exp": now + TTL,
        "jti": random_text(rt.random_bytes, 16),
        _EPOCH: first.auth_epoch,
        _METHOD: first.method,
    }
    return rt.access_tokens.sign(claims, kind=ENROLLMENT)


async def authenticate(rt: Runtime, token: str) -> AuthenticatedSession:
    """Return the account of an enrollment token, without a session.

    Raises ``TokenError`` for the token, ``SessionEnded`` if the account changed since or has a second factor
    by now, ``UserDisabled`` if the user may not act.
    """
    claims = await rt.own_tokens.verify_enrollment(token)
    user, epoch = identifiers.uuid_or_none(claims.user_id), claims.raw.get(_EPOCH)
    if user is None or not isinstance(epoch, int):
        raise TokenError("invalid_token", "The token is not an enrollment token of this service.")
    beside_passkey = claims.raw.get(_METHOD) == PASSKEY.name or not PASSKEY.available(rt)
    found = await rt.maybe(ENROLLEE, user, epoch, float(claims.raw["iat"]), beside_passkey)
    if found is None:
        raise errors.SessionEnded
    if not found.allowed:
        raise errors.UserDisabled
    return found
