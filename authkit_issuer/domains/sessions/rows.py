"""What the statements of sessions return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.domains.tokens.queries import TokenFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in, as its owner may see it. Times are aware, in UTC."""

    id: str
    family_id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    user_agent: str | None
    ip: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user behind a live session, with what ``/auth/user/me`` shows of it."""

    id: str
    email: str | None
    phone_number: str | None
    username: str | None
    discord_username: str | None
    email_verified: bool
    phone_verified: bool
    has_password: bool
    roles: list[str]
    biography: str | None
    created_at: datetime
    last_login: datetime | None
    session_id: str
    auth_time: datetime
    amr: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whether a user may open a session."""

    auth_epoch: int
    allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated(TokenFacts):
    """The result of a rotation: all that the next access token needs."""

    session_id: str
    auth_time: datetime
    amr: list[str]
    expires_at: datetime | None
    org_roles: list[str]
    """Empty unless an organization was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis(Rotated):
    """A session that did not rotate, with everything that may be the reason."""

    key_fits: bool
    allowed: bool
    deleted: bool
    is_member: bool
    """True where no organization was asked for."""
    live: bool
    generation: int
    forgiven: bool
    """The presented generation is in the grace window."""
    ip: str | None
    user_agent: str | None

    @property
    def opens(self) -> bool:
        """Whether a token of the current generation would rotate."""
        return self.key_fits and self.allowed and self.live and self.is_member


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(Account):
    """What stands behind an access token: the account, and whether user and session still count."""

    allowed: bool
    live: bool
    auth_age: float
    """Seconds since the last proof of identity, by the clock of the database."""
    two_factor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(TokenFacts):
    """A session that was just inserted."""

    auth_time: datetime
    expires_at: datetime | None
    first: bool
    """Nobody has signed in to the account before."""
    familiar: bool
    """In the last 30 days there was a sign-in with the same user agent from the same network."""
