"""The users of second factors, as the public methods look them up."""

from __future__ import annotations

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.factors import queries as sql
from authkit_issuer.domains.factors.queries import UserFactors
from authkit_issuer.runtime import Runtime


async def find(rt: Runtime, user_id: str) -> UserFactors | None:
    """Return a user with all second factors, or None."""
    owner = identifiers.uuid_or_none(user_id)
    return None if owner is None else await rt.maybe(sql.USER_FACTORS, owner)


async def existing(rt: Runtime, user_id: str) -> UserFactors:
    """Return a user; raises ``UserNotFound``."""
    found = await find(rt, user_id)
    if found is None:
        raise errors.UserNotFound
    return found


async def allowed(rt: Runtime, user_id: str) -> UserFactors:
    """Return a user who may act; raises ``UserNotFound``, ``UserBanned``."""
    found = await existing(rt, user_id)
    if not found.allowed:
        raise errors.UserBanned
    return found


async def enabled(rt: Runtime, user_id: str) -> UserFactors:
    """Return a user with two-factor sign-in; raises ``UserNotFound``, ``TwoFactorNotEnabled``."""
    found = await existing(rt, user_id)
    if not found.enabled:
        raise errors.TwoFactorNotEnabled
    return found


def require_offered(rt: Runtime) -> None:
    """Raise ``TwoFactorMethodUnavailable`` if ``two_factor_policy`` is ``off``."""
    if rt.config.two_factor_policy == "off":
        raise errors.TwoFactorMethodUnavailable("Second factors are off in this service.")


def known_id(user_id: str) -> str:
    """Return the canonical form of an id; raises ``UserNotFound`` for what is none."""
    owner = identifiers.uuid_or_none(user_id)
    if owner is None:
        raise errors.UserNotFound
    return owner


def verified_email(user: UserFactors) -> str:
    """Return the verified address; raises ``EmailNotVerified``."""
    if user.email is None or not user.email_verified:
        raise errors.EmailNotVerified
    return user.email
