"""What the service asks of the world around it: small protocols, owned by the code that calls them.

Time is a ``Clock`` (Unix seconds), randomness a ``RandomBytes``; both are passed in. Rows in PostgreSQL are
compared with the database's own clock, never with this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from authkit_issuer.event_types import AuthSessionEvent

Clock = Callable[[], float]
"""Returns Unix time in seconds."""

RandomBytes = Callable[[int], bytes]
"""Returns that many bytes from a cryptographic generator."""

EphemeralMode = Literal["memory", "redis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Facts about who is calling: the resolved network address and the user agent, either may be unknown."""

    ip: str | None = None
    user_agent: str | None = None


class EphemeralStore(Protocol):
    """Short-lived records: codes, challenges, counters. Every method is atomic.

    ``ttl`` is in seconds; zero or less raises ``ValueError``. A store that cannot answer raises
    ``EphemeralStoreUnavailable``; it never pretends that a key is absent.
    """

    @property
    def mode(self) -> EphemeralMode:
        """``"redis"`` when other processes see the same records, else ``"memory"``."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None when there is none or it has expired."""
        ...

    async def set(self, key: str, value: bytes, ttl: float, *, only_if_absent: bool = False) -> bool:
        """Store the value for ``ttl`` seconds; False when ``only_if_absent`` and a live value stands."""
        ...

    async def delete(self, key: str) -> bool:
        """Remove the key; False when it was not there."""
        ...

    async def take(self, key: str) -> bytes | None:
        """Return and remove in one step: of any number of callers at most one gets the value."""
        ...

    async def take_if(self, key: str, expected: bytes) -> bool:
        """Remove the key only while it holds exactly ``expected``; True for the one caller that did."""
        ...

    async def incr(self, key: str, ttl: float) -> int:
        """Add one and return the new count; the first increment sets the ``ttl``, later ones keep it."""
        ...

    async def ping(self) -> None:
        """Return when the store answers, else raise ``EphemeralStoreUnavailable``."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and records held in this process."""
        ...


@runtime_checkable
class EmailSender(Protocol):
    """Sends mails. ``username`` is ``""`` when the account has none."""

    async def send_password_reset_code(self, email: str, username: str, code: str) -> None:
        """Send a six-digit reset code."""
        ...

    async def send_email_verification_code(self, email: str, username: str, code: str) -> None:
        """Send a six-digit verification code."""
        ...

    async def send_login_code(self, email: str, username: str, code: str) -> None:
        """Send a six-digit second-factor code."""
        ...

    async def send_welcome(self, email: str, username: str) -> None:
        """Greet a new user."""
        ...


@runtime_checkable
class EmailSenderWithPasswordResetLink(Protocol):
    """Optional extension: the host builds the link from the bare token."""

    async def send_password_reset_link(self, email: str, username: str, token: str) -> None:
        """Send a reset link."""
        ...


@runtime_checkable
class EmailSenderWithVerificationLink(Protocol):
    """Optional extension: the host builds the link from the bare token."""

    async def send_email_verification_link(self, email: str, username: str, token: str) -> None:
        """Send a verification link."""
        ...


@runtime_checkable
class EmailSenderWithSecurityNotice(Protocol):
    """Optional extension: tells the owner that something about the account changed or was tried."""

    async def send_security_notice(self, email: str, username: str, kind: str) -> None:
        """Send a notice; ``kind`` is a stable word such as ``registration_attempt``."""
        ...


@runtime_checkable
class SMSSender(Protocol):
    """Sends text messages to E.164 numbers."""

    async def send_verification_code(self, phone: str, code: str) -> None:
        """Send a six-digit verification code."""
        ...

    async def send_login_code(self, phone: str, code: str) -> None:
        """Send a six-digit second-factor code."""
        ...


@runtime_checkable
class SMSSenderWithPasswordResetLink(Protocol):
    """Optional extension: the host builds the link from the bare token."""

    async def send_password_reset_link(self, phone: str, token: str) -> None:
        """Send a reset link."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """One thing a user may use. Times are aware; None means no end."""

    name: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    source: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])


class EntitlementsProvider(Protocol):
    """The host's source of entitlements."""

    async def list_entitlements(self, user_id: str) -> Sequence[Entitlement]:
        """Return the user's entitlements; an unknown user has none."""
        ...


class AuthEventLogger(Protocol):
    """A sink of the audit trail: called after commit, at least once per event, in order per user."""

    @property
    def name(self) -> str:
        """A stable name: undelivered events are kept under it across restarts."""
        ...

    async def log_session_event(self, event: AuthSessionEvent) -> None:
        """Take one event; raising means "not delivered, try again later"."""
        ...


class AuthEventLogReader(Protocol):
    """Reads the audit trail back."""

    async def list_session_events(self, user_id: str, *event_types: str) -> list[AuthSessionEvent]:
        """Return events newest first; an empty ``user_id`` means all users."""
        ...
