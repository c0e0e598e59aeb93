"""The session that asks for a change, as of the moment of the change.

A request is authenticated before it runs, and a client may hold its body back: a reset may have ended the
session meanwhile, and frozen what the request would confirm.
"""

from __future__ import annotations

from authkit_issuer import errors, identifiers
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import live
from authkit_issuer.store.query import Query

_IS_LIVE = Query(
    bool,
    f"""
    select exists (
        select from profiles.refresh_sessions s where s.id = $1::uuid and s.user_id = $2::uuid and {live("s")}
    )
    """,
)


async def require_live(tx: Runtime, user_id: str, session_id: str | None) -> None:
    """Raise ``SessionEnded`` unless the session of the user is live; without one the host itself asks.

    The caller holds the lock of the user's row, as what ends every session does: a statement of its own sees
    what was committed while the lock was waited for.
    """
    if not await is_live(tx, user_id, session_id):
        raise errors.SessionEnded


async def is_live(rt: Runtime, user_id: str, session_id: str | None) -> bool:
    """True if the session of the user is live, or if the host itself asks, without a session."""
    if not session_id:
        return True
    known = identifiers.uuid_or_none(session_id)
    return known is not None and await rt.one(_IS_LIVE, known, user_id)
