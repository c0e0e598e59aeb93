"""Senders of emails and SMS messages, and their optional extensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        """Send a second-factor code, which no client gets without a right first factor."""
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
class EmailSenderWithSignInCode(Protocol):
    """Optional extension: the code of a passwordless sign-in in a mail of its own.

    Without it ``send_login_code`` sends the code, whose mail may speak of a password.
    """

    async def send_sign_in_code(self, email: str, username: str, code: str) -> None:
        """Send the code of a sign-in; ``username`` is ``""`` where the code makes the account."""
        ...


@runtime_checkable
class EmailSenderWithSignInLink(Protocol):
    """Optional extension: one mail with the code and the link of a passwordless sign-in."""

    async def send_sign_in_link(self, email: str, username: str, code: str, token: str) -> None:
        """Send the bare token of a sign-in link, and the code to type where the sign-in began."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryNotice:
    """What the owner of an account learns of a recovery, by every contact."""

    kind: str
    """``recovery_requested``, ``recovery_waiting`` (daily), ``recovery_cancelled``, ``recovery_completed``,
    or ``account_recovered`` for one by an operator."""
    token: str = field(default="", repr=False)
    """Cancels the recovery, and does nothing else; ``""`` where there is nothing to cancel."""
    completes_at: datetime | None = None
    """When the wait ends."""
    circumstances: Circumstances | None = None


@runtime_checkable
class EmailSenderWithRecoveryNotice(Protocol):
    """Optional extension: notices of a recovery with the token that cancels it, for a link of the host."""

    async def send_recovery_notice(self, email: str, username: str, notice: RecoveryNotice) -> None:
        """Send a notice of a recovery."""
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
        """Send the code of a second factor, or of a passwordless sign-in."""
        ...


@runtime_checkable
class SMSSenderWithPasswordResetLink(Protocol):
    """Optional extension: the host builds the link from the bare token."""

    async def send_password_reset_link(self, phone: str, token: str) -> None:
        """Send a reset link."""
        ...


@runtime_checkable
class SMSSenderWithRecoveryNotice(Protocol):
    """Optional extension: notices of a recovery by SMS."""

    async def send_recovery_text(self, phone: str, notice: RecoveryNotice) -> None:
        """Send a notice of a recovery."""
        ...


@runtime_checkable
class SMSSenderWithUseReport(Protocol):
    """Optional extension: hears of every code that was used, as some providers ask for."""

    async def report_code_used(self, phone: str) -> None:
        """Take note that the user of the number presented the right code."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStatus:
    """What became of a message."""

    sid: str
    """The provider's id of the message."""
    status: str
    """``delivered``, ``undelivered``, ``failed`` or a step before those."""
    error: str
    """The number of the provider's error; ``""`` without one."""


@runtime_checkable
class SMSSenderWithStatusReports(Protocol):
    """Optional extension: the provider reports what became of each SMS, in requests that it signs."""

    @property
    def takes_reports(self) -> bool:
        """True if the provider can report to this service, and its signature can be checked."""
        ...

    def reporting_to(self, url: str) -> SMSSender:
        """Return this sender, which has the provider report to ``url``, or nowhere if that is ``""``."""
        ...

    def read_report(self, form: Mapping[str, str], *, url: str, signature: str) -> MessageStatus | None:
        """Return what a report to ``url`` says; None if the provider did not sign it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """The host's senders, each optional extension looked for once; None where there is none."""

    email: EmailSender | None = None
    sms: SMSSender | None = None
    code_and_link: EmailSenderWithCodeAndLink | None = None
    verification_link: EmailSenderWithVerificationLink | None = None
    sign_in_code: EmailSenderWithSignInCode | None = None
    sign_in_link: EmailSenderWithSignInLink | None = None
    security_notice: EmailSenderWithSecurityNotice | None = None
    event_notice: EmailSenderWithEventNotice | None = None
    email_reset_link: EmailSenderWithPasswordResetLink | None = None
    recovery_notice: EmailSenderWithRecoveryNotice | None = None
    org_invite: EmailSenderWithOrgInvite | None = None
    sms_reset_link: SMSSenderWithPasswordResetLink | None = None
    sms_use_report: SMSSenderWithUseReport | None = None
    recovery_text: SMSSenderWithRecoveryNotice | None = None
    sms_status: SMSSenderWithStatusReports | None = None

    @classmethod
    def of(cls, email: EmailSender | None, sms: SMSSender | None) -> Senders:
        """Find the optional extensions that the two senders have."""
        return cls(
            email=email,
            sms=sms,
            code_and_link=email if isinstance(email, EmailSenderWithCodeAndLink) else None,
            verification_link=email if isinstance(email, EmailSenderWithVerificationLink) else None,
            sign_in_code=email if isinstance(email, EmailSenderWithSignInCode) else None,
            sign_in_link=email if isinstance(email, EmailSenderWithSignInLink) else None,
            security_notice=email if isinstance(email, EmailSenderWithSecurityNotice) else None,
            event_notice=email if isinstance(email, EmailSenderWithEventNotice) else None,
            email_reset_link=email if isinstance(email, EmailSenderWithPasswordResetLink) else None,
            recovery_notice=email if isinstance(email, EmailSenderWithRecoveryNotice) else None,
            org_invite=email if isinstance(email, EmailSenderWithOrgInvite) else None,
            sms_reset_link=sms if isinstance(sms, SMSSenderWithPasswordResetLink) else None,
            sms_use_report=sms if isinstance(sms, SMSSenderWithUseReport) else None,
            recovery_text=sms if isinstance(sms, SMSSenderWithRecoveryNotice) else None,
            sms_status=_reporting(sms),
        )

    def reporting_to(self, url: str) -> Senders:
        """Return these senders, which have the provider of SMS report to ``url`` where it can."""
        if self.sms_status is None:
            return self
        return Senders.of(self.email, self.sms_status.reporting_to(url))

    @property
    def notices(self) -> bool:
        """True if security notices can be sent."""
        return self.event_notice is not None or self.security_notice is not None

    @property
    def verification_links(self) -> bool:
        """True if a link that confirms an email address can be sent."""
        return self.code_and_link is not None or self.verification_link is not None


def _reporting(sms: object) -> SMSSenderWithStatusReports | None:
    return sms if isinstance(sms, SMSSenderWithStatusReports) and sms.takes_reports else None
