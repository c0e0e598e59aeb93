"""What the service needs from its host: small protocols, owned by the code that calls them.

Time is a ``Clock`` (Unix seconds), randomness a ``RandomBytes``; both are passed in. Rows in PostgreSQL are
compared with the database's own clock, never with this one.
"""

from __future__ import annotations

from authkit_issuer.ports.breach_check import BreachCheck
from authkit_issuer.ports.client import Client, language, web_host
from authkit_issuer.ports.entitlements import Entitlement, EntitlementsOfMany, EntitlementsProvider
from authkit_issuer.ports.ephemeral_store import EphemeralMode, EphemeralStore
from authkit_issuer.ports.events import AuthEventBatchLogger, AuthEventLogger, AuthEventLogReader
from authkit_issuer.ports.senders import (
    Circumstances,
    EmailSender,
    EmailSenderWithCodeAndLink,
    EmailSenderWithEventNotice,
    EmailSenderWithOrgInvite,
    EmailSenderWithPasswordResetLink,
    EmailSenderWithRecoveryNotice,
    EmailSenderWithSecurityNotice,
    EmailSenderWithSignInCode,
    EmailSenderWithSignInLink,
    EmailSenderWithVerificationLink,
    MessageStatus,
    RecoveryNotice,
    Senders,
    SendFailure,
    SMSSender,
    SMSSenderWithPasswordResetLink,
    SMSSenderWithRecoveryNotice,
    SMSSenderWithStatusReports,
    SMSSenderWithUseReport,
    TemporarySendFailure,
)
from authkit_issuer.ports.system import Clock, RandomBytes

__all__ = [
    "AuthEventBatchLogger",
    "AuthEventLogReader",
    "AuthEventLogger",
    "BreachCheck",
    "Circumstances",
    "Client",
    "Clock",
    "EmailSender",
    "EmailSenderWithCodeAndLink",
    "EmailSenderWithEventNotice",
    "EmailSenderWithOrgInvite",
    "EmailSenderWithPasswordResetLink",
    "EmailSenderWithRecoveryNotice",
    "EmailSenderWithSecurityNotice",
    "EmailSenderWithSignInCode",
    "EmailSenderWithSignInLink",
    "EmailSenderWithVerificationLink",
    "Entitlement",
    "EntitlementsOfMany",
    "EntitlementsProvider",
    "EphemeralMode",
    "EphemeralStore",
    "MessageStatus",
    "RandomBytes",
    "RecoveryNotice",
    "SMSSender",
    "SMSSenderWithPasswordResetLink",
    "SMSSenderWithRecoveryNotice",
    "SMSSenderWithStatusReports",
    "SMSSenderWithUseReport",
    "SendFailure",
    "Senders",
    "TemporarySendFailure",
    "language",
    "web_host",
]
