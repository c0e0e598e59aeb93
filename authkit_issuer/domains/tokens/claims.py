"""The claims of an access token, and the names that a host may not set."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from authkit_issuer import errors
from authkit_issuer.domains.tokens.queries import TokenFacts
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.token_codec import random_text

RESERVED_CLAIMS = frozenset(
    {
        "iss", "sub", "aud", "iat", "exp", "nbf", "jti", "sid", "client_id", "auth_time", "amr", "acr",
        "email", "email_verified", "username", "discord_username", "entitlements", "roles", "org", "org_id",
        "permissions", "scope", "scp", "azp", "act", "may_act", "cnf", "token_use", "nonce", "events",
    }
)  # fmt: skip
"""Claims that ``extra`` may not name."""


def claims_of(
    rt: Runtime, facts: TokenFacts, entitlements: list[str], issued_at: int, expires: int
) -> dict[str, object]:
    """Return the claims of every token: those of RFC 9068 section 2.2, then what is known of the user.

    The token of a session adds ``sid``, ``auth_time`` and ``amr``. That of an organization adds ``org``,
    ``org_id`` and the roles there.
    """
    config = rt.config
    audiences = config.issued_audiences
    claims: dict[str, object] = {
        "iss": config.issuer,
        "sub": facts.user_id,
        # Some verifiers in the field refuse a list of one; RFC 7519 section 4.1.3 allows both forms.
        "aud": audiences[0] if len(audiences) == 1 else list(audiences),
        "iat": issued_at,
        "exp": expires,
        "jti": random_text(rt.random_bytes, 16),
        "client_id": config.client_id,
        "email": facts.email,
        "email_verified": facts.email_verified,
        "username": facts.username,
        "discord_username": facts.discord_username,
        "entitlements": entitlements,
    }
    if config.org_mode == "single":
        claims["roles"] = facts.counted_roles(config.two_factor_required_roles)
    return claims


def check_extra(extra: Mapping[str, object] | None) -> None:
    """Check the further claims of a token before a session is opened that would get no token.

    Raises:
        ReservedClaim: A name is a claim that only this service sets.
        Invalid: A name is not a string (JSON writes an enum member as its value), or a value is not JSON.
    """
    if not extra:
        return
    for name in extra:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are not all typed
            raise errors.Invalid("The name of an extra claim must be a string.", param="extra")
        if name in RESERVED_CLAIMS:
            raise errors.ReservedClaim(
                f"Only this service sets the claim {name}: leave it out of extra.", param=name
            )
    try:
        msgspec.json.encode(dict(extra))
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.Invalid("The extra claims cannot be written as JSON.", param="extra") from error
