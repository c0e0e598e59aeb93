"""The words of the audit trail: event types, revoke reasons and the event itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class SessionEventType(StrEnum):
    """What happened. The first five are the historic ones that sinks may already know."""

    SESSION_CREATED = "session_created"
    SESSION_REVOKED = "session_revoked"
    SESSION_FAILED = "session_failed"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RECOVERY = "password_recovery"

    SESSION_REFRESH_SHARED = "session_refresh_shared"
    """A rotated refresh token was forgiven although it came from another address or user agent."""
    REFRESH_TOKEN_FORGED = "refresh_token_forged"
    """A refresh token with a valid MAC and a nonce that is not the session's: the MAC key may have leaked."""
    USER_CREATED = "user_created"


class SessionRevokeReason(StrEnum):
    """Why a session ended."""

    UNKNOWN = ""
    LOGOUT = "logout"
    USER_REVOKE = "user_revoke"
    USER_REVOKE_ALL = "user_revoke_all"
    ADMIN_REVOKE = "admin_revoke"
    ADMIN_REVOKE_ALL = "admin_revoke_all"
    PASSWORD_CHANGE = "password_change"
    ADMIN_SET_PASSWORD = "admin_set_password"
    USER_DISABLED = "user_disabled"
    BANNED = "banned"
    SOFT_DELETED = "soft_deleted"
    EVICTED = "evicted"
    REFRESH_REUSE_DETECTED = "refresh_reuse_detected"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSessionEvent:
    """One row of the audit trail.

    ``id`` is stable and unique: sinks are told an event at least once and use it to drop repeats.
    ``actor`` is who acted when that is not the user, ``target`` what was acted on, ``data`` further facts.
    """

    id: int
    occurred_at: datetime
    issuer: str
    user_id: str
    session_id: str
    event: str
    method: str | None = None
    reason: str | None = None
    ip_addr: str | None = None
    user_agent: str | None = None
    actor: str | None = None
    target: str | None = None
    data: Mapping[str, object] = field(default_factory=dict[str, object])
