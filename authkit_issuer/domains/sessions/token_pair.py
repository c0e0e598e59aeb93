"""The token response of a login or a refresh."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from authkit_issuer.domains.tokens.service import AccessToken
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """An access token and the refresh token of its session; ``expires_in`` is in whole seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    expires_at: datetime
    refresh_token: str = field(repr=False)
    session_id: str
    user_id: str
    ended_sessions: tuple[str, ...] = ()
    """The ids of the sessions that this sign-in ended, beyond ``session_max_per_user``."""
    device: str | None = field(default=None, repr=False)
    """The device token, after a login only: the app sends it as ``Client.device`` from then on. It
    authenticates no request, and outlives the session."""


def pair(
    rt: Runtime,
    access: AccessToken,
    refresh: str,
    *,
    session_id: str,
    user_id: str,
    ended_sessions: tuple[str, ...] = (),
    device: str | None = None,
) -> TokenPair:
    """Return the pair, with the seconds until the access token expires."""
    return TokenPair(
        access_token=access.token,
        expires_in=max(0, int(access.expires_at.timestamp() - rt.clock())),
        expires_at=access.expires_at,
        refresh_token=refresh,
        session_id=session_id,
        user_id=user_id,
        ended_sessions=ended_sessions,
        device=device,
    )
