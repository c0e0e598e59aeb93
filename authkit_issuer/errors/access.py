"""Tokens, sessions, roles and organisations."""

from __future__ import annotations

from collections.abc import Mapping

from authkit_issuer.errors.base import Denied, Invalid, NotFound, Unauthenticated


class ReservedClaim(Invalid):
    """The caller's extra claims name one that only this service may set."""

    code = "reserved_claim"
    default = "An extra claim has a reserved name."


class UnknownKid(NotFound):
    """No published key has this key id."""

    code = "unknown_kid"
    default = "There is no such key."


class DisallowedAlg(Invalid):
    """The token's algorithm does not fit the key."""

    code = "disallowed_alg"
    default = "The algorithm does not fit the key."


class InvalidRefreshToken(Unauthenticated):
    """Forged, truncated, foreign, expired or ended: the refresh token opens nothing."""

    code = "invalid_refresh_token"
    default = "The refresh token is not valid."


class RefreshTokenReuseDetected(InvalidRefreshToken):
    """An already rotated refresh token came back; its session has been ended (RFC 9700 section 4.14.2)."""

    code = "refresh_token_reuse_detected"
    default = "The refresh token was used before; the session has been ended."

    def __init__(self, message: str | None = None, *, evidence: Mapping[str, object] | None = None) -> None:
        """Keep the class (``recent`` or ``stale``), both generations and their distance, for the operator."""
        super().__init__(message)
        self.evidence = dict(evidence or {})


class SessionEnded(Unauthenticated):
    """The session behind an access token was ended, or has expired."""

    code = "session_ended"
    default = "The session has ended."


class SessionNotFound(NotFound):
    """The caller has no such session."""

    code = "session_not_found"
    default = "There is no such session."


class InvalidTarget(Invalid):
    """The requested organisation cannot be had; the refresh token stays good (RFC 8707 section 2)."""

    code = "invalid_target"
    default = "The requested organisation cannot be used."


class InvalidOrgSlug(Invalid):
    """The text is not an organisation slug."""

    code = "invalid_org_slug"
    default = "An organisation name has 1 to 63 of a-z, 0-9 and inner hyphens."


class OrgNotFound(NotFound):
    """No such organisation."""

    code = "org_not_found"
    default = "There is no such organisation."


class NotOrgMember(Denied):
    """The user is not a member of the organisation."""

    code = "not_org_member"
    default = "Not a member of this organisation."


class OrgModeNotMulti(Invalid):
    """The service runs in single-organisation mode."""

    code = "org_mode_not_multi"
    default = "This service has no organisations."


class RoleNotFound(NotFound):
    """The role is not defined."""

    code = "role_not_found"
    default = "There is no such role."
