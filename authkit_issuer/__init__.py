"""The issuer as a library: accounts, sessions and access tokens over PostgreSQL.

``Service`` is the whole of it; refusals are the classes of ``authkit_issuer.errors``.
"""

from __future__ import annotations

from authkit_issuer.capabilities.passwords import Proof
from authkit_issuer.capabilities.registration import PendingRegistration, Registered
from authkit_issuer.capabilities.sessions import Account, Session, TokenPair
from authkit_issuer.capabilities.tokens import AccessToken, JwksDocument
from authkit_issuer.capabilities.users import User
from authkit_issuer.config import Config, Options, OrgMode, is_dev_environment
from authkit_issuer.errors import AuthError, ConfigError, NotJoinable, StartupError
from authkit_issuer.event_types import AuthSessionEvent, SessionEventType, SessionRevokeReason
from authkit_issuer.ports import (
    AuthEventLogger,
    AuthEventLogReader,
    Client,
    Clock,
    EmailSender,
    EmailSenderWithPasswordResetLink,
    EmailSenderWithSecurityNotice,
    EmailSenderWithVerificationLink,
    Entitlement,
    EntitlementsProvider,
    EphemeralMode,
    EphemeralStore,
    RandomBytes,
    SMSSender,
    SMSSenderWithPasswordResetLink,
)
from authkit_issuer.security.keys import KeySet, KeySource, SigningKey, StaticKeys
from authkit_issuer.service import Service

__all__ = [
    "AccessToken",
    "Account",
    "AuthError",
    "AuthEventLogReader",
    "AuthEventLogger",
    "AuthSessionEvent",
    "Client",
    "Clock",
    "Config",
    "ConfigError",
    "EmailSender",
    "EmailSenderWithPasswordResetLink",
    "EmailSenderWithSecurityNotice",
    "EmailSenderWithVerificationLink",
    "Entitlement",
    "EntitlementsProvider",
    "EphemeralMode",
    "EphemeralStore",
    "JwksDocument",
    "KeySet",
    "KeySource",
    "NotJoinable",
    "Options",
    "OrgMode",
    "PendingRegistration",
    "Proof",
    "RandomBytes",
    "Registered",
    "SMSSender",
    "SMSSenderWithPasswordResetLink",
    "Service",
    "Session",
    "SessionEventType",
    "SessionRevokeReason",
    "SigningKey",
    "StartupError",
    "StaticKeys",
    "TokenPair",
    "User",
    "is_dev_environment",
]
