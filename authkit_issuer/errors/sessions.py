"""Refresh sessions and their tokens."""

from __future__ import annotations

from collections.abc import Mapping

from authkit_issuer.errors.categories import Invalid, NotFound, Unauthenticated


class InvalidRefreshToken(Unauthenticated):
    """Forged, truncated, foreign, expired or ended: the refresh token opens nothing."""

    code = "invalid_refresh_token"
    default = "The refresh token is not valid."


class RefreshTokenReuseDetected(InvalidRefreshToken):
    """An already rotated refresh token came back; its session has been ended (RFC 9700 section 4.14.2)."""

    code = "refresh_token_reuse_detected"
    default = "The refresh token was used before; the session has ended."

    def __init__(self, message: str | None = None, *, evidence: Mapping[str, object] | None = None) -> None:
        """Keep both generations, their distance and the class, for the operator.

        The class is ``recent`` for the generation just replaced, ``stale`` for an older one, and ``repeated``
        if the grace was needed for too many generations in a row.
        """
        super().__init__(message)
        self.evidence = dict(evidence or {})


class SessionEvicted(InvalidRefreshToken):
    """A newer sign-in ended the session, since a user has at most ``session_max_per_user``."""

    code = "evicted"
    default = "A newer sign-in ended this session; sign in again."


class SessionEnded(Unauthenticated):
    """The session behind an access token was ended, or has expired."""

    code = "session_ended"
    default = "The session has ended."


class SessionNotFound(NotFound):
    """The caller has no such session."""

    code = "session_not_found"
    default = "Session not found."


class InvalidTarget(Invalid):
    """The requested organization is not available; the refresh token stays valid (RFC 8707 section 2)."""

    code = "invalid_target"
    default = "The requested organization cannot be used."
