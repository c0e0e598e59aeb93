"""What the service asks of the world around it: small protocols, owned by the code that calls them.

Time is a ``Clock`` (Unix seconds), randomness a ``RandomBytes``; both are passed in. Rows in PostgreSQL are
compared with the database's own clock, never with this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from authkit_issuer.event_types import AuthSessionEvent

Clock = Callable[[], float]
"""Returns Unix time in seconds."""

RandomBytes = Callable[[int], bytes]
"""Returns that many bytes from a cryptographic generator."""

EphemeralMode = Literal["memory", "redis"]

language: ContextVar[str] = ContextVar("authkit_language", default="")
"""The language of whoever is asking, as a tag such as ``de`` (RFC 5646); ``""`` when unknown.

A host sets it around its calls and a sender reads it: sending in the background inherits it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Facts about who is calling: the resolved network address and the user agent, either may be unknown.

    ``device`` is the ``TokenPair.device`` of an earlier sign-in, where the caller brings one.
    """

    ip: str | None = None
    user_agent: str | None = None
    device: str | None = field(default=None, repr=False)


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

    async def replace_if(self, key: str, expected: bytes, value: bytes, ttl: float) -> bool:
        """Store ``value`` only while the key holds exactly ``expected``; False when it does not."""
        ...

    async def incr(self, key: str, ttl: float) -> int:
        """Add one and return the new count; the first increment sets the ``ttl``, later ones keep it."""
        ...

    async def admit(self, key: str, calls: int, window: float) -> tuple[bool, float]:
        """Count one call unless ``calls`` of them were made within the last ``window`` seconds.

        A generic cell rate limit: all ``calls`` may come at once, and one more for each ``window / calls``
        that has passed. Returns whether the call is admitted, and the seconds until the key is as fresh as
        one that was never used. A refused call does not count.
        """
        ...

    async def ping(self) -> None:
        """Return when the store answers, else raise ``EphemeralStoreUnavailable``."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and records held in this process."""
        ...


@runtime_checkable
class EmailSender(Protocol):
    """Sends mails. ``username`` is ``""`` when the account has none.

    ``email`` follows ``authkit_issuer.identifiers.email``: ASCII, a dot-atom, one ``@`` and a host name (in
    A-labels), no quotes, comments, commas, angle brackets, white space or control characters. It names one
    recipient in a mail header and in an SMTP command, and needs no quoting in either.
    """

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
class EmailSenderWithCodeAndLink(Protocol):
    """Optional extension: one mail that carries the code and the link, in place of two mails."""

    async def send_email_verification(self, email: str, username: str, code: str, token: str) -> None:
        """Send a six-digit verification code and the bare token of a verification link."""
        ...


@runtime_checkable
class EmailSenderWithSecurityNotice(Protocol):
    """Optional extension: tells the owner that something about the account changed or was tried."""

    async def send_security_notice(self, email: str, username: str, kind: str) -> None:
        """Send a notice; ``kind`` is a stable word such as ``registration_attempt``."""
        ...


@runtime_checkable
class SMSSender(Protocol):
    """Sends SMS messages. ``phone`` is in E.164 form (``+`` and digits) and possible in its country."""

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
class Senders:
    """The host's senders, each optional extension looked for once; None where there is none."""

    email: EmailSender | None = None
    sms: SMSSender | None = None
    code_and_link: EmailSenderWithCodeAndLink | None = None
    verification_link: EmailSenderWithVerificationLink | None = None
    security_notice: EmailSenderWithSecurityNotice | None = None
    email_reset_link: EmailSenderWithPasswordResetLink | None = None
    sms_reset_link: SMSSenderWithPasswordResetLink | None = None

    @classmethod
    def of(cls, email: EmailSender | None, sms: SMSSender | None) -> Senders:
        """Look at what the two senders can do."""
        return cls(
            email=email,
            sms=sms,
            code_and_link=email if isinstance(email, EmailSenderWithCodeAndLink) else None,
            verification_link=email if isinstance(email, EmailSenderWithVerificationLink) else None,
            security_notice=email if isinstance(email, EmailSenderWithSecurityNotice) else None,
            email_reset_link=email if isinstance(email, EmailSenderWithPasswordResetLink) else None,
            sms_reset_link=sms if isinstance(sms, SMSSenderWithPasswordResetLink) else None,
        )

    @property
    def verification_links(self) -> bool:
        """Tell whether a link that confirms an email address can be sent."""
        return self.code_and_link is not None or self.verification_link is not None


class BreachCheck(Protocol):
    """Knows passwords from breaches. Asked about every new password that the rules allow."""

    async def is_breached(self, password: str) -> bool:
        """Tell whether the password is known; ``BreachCheckUnavailable`` keeps it from being set."""
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


@runtime_checkable
class EntitlementsOfMany(Protocol):
    """Optional extension of a provider: one question for a page of users."""

    async def list_entitlements_many(self, user_ids: Sequence[str]) -> Mapping[str, Sequence[Entitlement]]:
        """Return the entitlements by user id; a user left out has none."""
        ...


@runtime_checkable
class AuthEventBatchLogger(Protocol):
    """Optional extension of a sink: takes up to a hundred events in one call, in order."""

    async def log_session_events(self, events: Sequence[AuthSessionEvent]) -> None:
        """Take them all; raising means "none delivered, try again later"."""
        ...


class AuthEventLogReader(Protocol):
    """Reads the audit trail back."""

    async def list_session_events(self, user_id: str, *event_types: str) -> list[AuthSessionEvent]:
        """Return events newest first; an empty ``user_id`` means all users."""
        ...
