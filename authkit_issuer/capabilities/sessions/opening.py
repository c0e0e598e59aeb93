"""Opening a session: who is let in, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from authkit_issuer import errors
from authkit_issuer.capabilities.sessions import statements as sql
from authkit_issuer.capabilities.sessions.ending import Ending
from authkit_issuer.capabilities.tokens import TokenFacts
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedSession:
    """A new session and its first refresh token."""

    session_id: str
    refresh_token: str = field(repr=False)
    expires_at: datetime | None
    facts: TokenFacts
    auth_time: datetime
    amr: tuple[str, ...]


async def let_in(tx: Runtime, user_id: str, auth_epoch: int | None) -> None:
    """Lock the user's row, refuse who may not act or whose proof is too old, and make room for a session."""
    gate = await tx.maybe(sql.LOCK_USER, user_id)
    if gate is None:
        raise errors.UserNotFound
    if not gate.allowed:
        raise errors.UserBanned
    if auth_epoch is not None and auth_epoch != gate.auth_epoch:
        raise errors.InvalidCredentials
    if tx.config.session_max_per_user is not None:
        await Ending(tx).oldest(user_id, tx.config.session_max_per_user - 1)
