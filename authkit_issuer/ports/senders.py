"""Senders of emails and SMS messages, and their optional extensions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable


class SendFailure(Exception):
    """A sender may raise it when a message was refused. Its text is logged: it must not quote the message."""


class TemporarySendFailure(SendFailure):
    """As ``SendFailure``, when a later try may succeed; a message of the background is then tried again."""


@runtime_checkable
class EmailSender(Protocol):
    """Sends mails. ``username`` is ``""`` when the account has none.

    A code has six digits, or thirteen letters and digits in groups (``ABCD-EFGH-JKLMN``) after wrong guesses.

    ``email`` follows ``authkit_issuer.identifiers.email``: ASCII, a dot-atom, one ``@`` and a host name (in
    A-labels), no quotes, comments, commas, angle brackets, white space or control characters. It names one
    recipient in a mail header and in an SMTP command, and needs no quoting in either.
    """

    async def send_password_reset_code(self, email: str, username: str, code: str) -> None:
        """Send a reset code."""
        ...

    async def send_email_verification_code(self, email: str, username: str, code: str) -> None:
        """Send a verification code."""
        ...

    async def send_login_code(self, email: str, username: str, code: str) -> None:
        """Send a second-factor code."""
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
        """Send a verification code and the bare token of a verification link."""
        ...


@runtime_checkable
class EmailSenderWithSecurityNotice(Protocol):
    """Optional extension: notifies the owner that something about the account changed or was tried."""

    async def send_security_notice(self, email: str, username: str, kind: str) -> None:
        """Send a notice; ``kind`` is a stable word such as ``registration_attempt``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """When and from where an event happened, as far as the recipient of a notice may know."""

    at: datetime
    network: str = ""
    """The IPv4 address or the IPv6 /64; ``""`` when unknown."""
    browser: str = ""
    """The family of the browser, such as ``Firefox``; ``""`` when unknown."""


@runtime_checkable
class EmailSenderWithEventNotice(Protocol):
    """Optional extension: security notices that name time and place of the event, in place of the others."""

    async def send_event_notice(
        self, email: str, username: str, kind: str, circumstances: Circumstances
    ) -> None:
        """Send a notice; ``kind`` as in ``EmailSenderWithSecurityNotice``."""
        ...


@runtime_checkable
class EmailSenderWithOrgInvite(Protocol):
    """Optional extension: tells a person of an invite to an organization."""

    async def send_org_invite(
        self, email: str, username: str, org: str, inviter: str, invite_id: str
    ) -> None:
        """Send an invitation to the organization ``org``.

        ``inviter`` is the user name of the inviter, ``""`` without one. ``invite_id`` names the
        invite; it opens nothing, as only the owner of the address can accept the invite.
        """
        ...


@runtime_checkable
class SMSSender(Protocol):
    """Sends SMS messages. ``phone`` is in E.164 form (``+`` and digits) and possible in its country.

    Codes have the forms that ``EmailSender`` names.
    """

    async def send_verification_code(self, phone: str, code: str) -> None:
        """Send a verification code."""
        ...

    async def send_login_code(self, phone: str, code: str) -> None:
        """Send a second-factor code."""
        ...


@runtime_checkable
class SMSSenderWithPasswordResetLink(Protocol):
    """Optional extension: the host builds the link from the bare token."""

    async def send_password_reset_link(self, phone: str, token: str) -> None:
        """Send a reset link."""
        ...


@runtime_checkable
class SMSSenderWithUseReport(Protocol):
    """Optional extension: hears of every code that was used, as some providers ask for."""

    async def report_code_used(self, phone: str) -> None:
        """Take note that the user of the number presented the right code."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """The host's senders, each optional extension looked for once; None where there is none."""

    email: EmailSender | None = None
    sms: SMSSender | None = None
    code_and_link: EmailSenderWithCodeAndLink | None = None
    verification_link: EmailSenderWithVerificationLink | None = None
    security_notice: EmailSenderWithSecurityNotice | None = None
    event_notice: EmailSenderWithEventNotice | None = None
    email_reset_link: EmailSenderWithPasswordResetLink | None = None
    org_invite: EmailSenderWithOrgInvite | None = None
    sms_reset_link: SMSSenderWithPasswordResetLink | None = None
    sms_use_report: SMSSenderWithUseReport | None = None

    @classmethod
    def of(cls, email: EmailSender | None, sms: SMSSender | None) -> Senders:
        """Find the optional extensions that the two senders have."""
        return cls(
            email=email,
            sms=sms,
            code_and_link=email if isinstance(email, EmailSenderWithCodeAndLink) else None,
            verification_link=email if isinstance(email, EmailSenderWithVerificationLink) else None,
            security_notice=email if isinstance(email, EmailSenderWithSecurityNotice) else None,
            event_notice=email if isinstance(email, EmailSenderWithEventNotice) else None,
            email_reset_link=email if isinstance(email, EmailSenderWithPasswordResetLink) else None,
            org_invite=email if isinstance(email, EmailSenderWithOrgInvite) else None,
            sms_reset_link=sms if isinstance(sms, SMSSenderWithPasswordResetLink) else None,
            sms_use_report=sms if isinstance(sms, SMSSenderWithUseReport) else None,
        )

    @property
    def notices(self) -> bool:
        """True if security notices can be sent."""
        return self.event_notice is not None or self.security_notice is not None

    @property
    def verification_links(self) -> bool:
        """True if a link that confirms an email address can be sent."""
        return self.code_and_link is not None or self.verification_link is not None
