"""The public names of ``authkit_issuer``, which imports this module when one of them is first used."""

from __future__ import annotations

from authkit_issuer.config import Config, Options, OrgMode, ProviderConfig, is_dev_environment
from authkit_issuer.domains.accounts.external_identities import LinkedProvider, ProviderLink
from authkit_issuer.domains.accounts.roles import Role
from authkit_issuer.domains.accounts.service import User
from authkit_issuer.domains.admin.service import AdminListUsersResult, AdminUser, UserExplanation
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.factors.service import Challenged, TwoFactorSettings
from authkit_issuer.domains.lifecycle.service import BeforePurge, Purged
from authkit_issuer.domains.login.passwordless.service import PasswordlessFlow, PasswordlessLogin
from authkit_issuer.domains.login.solana.service import (
    SOLANA_PROVIDER_SLUG,
    ChallengeCache,
    ChallengeData,
    SiwsLogin,
)
from authkit_issuer.domains.orgs.invites import OrgInvite
from authkit_issuer.domains.orgs.members import OrgMembership
from authkit_issuer.domains.orgs.service import Org
from authkit_issuer.domains.sessions.service import Account, Session, TokenPair
from authkit_issuer.domains.signup.service import PendingRegistration, Registered
from authkit_issuer.domains.tokens.service import AccessToken, JwksDocument
from authkit_issuer.domains.webhooks.service import NewWebhook, WebhookEndpoint
from authkit_issuer.errors import AuthError, ConfigError, NotJoinable, StartupError
from authkit_issuer.event_types import AuthSessionEvent, SessionEventType, SessionRevokeReason
from authkit_issuer.keys import KeySet, KeySource, SigningKey, StaticKeys
from authkit_issuer.ports import (
    AuthEventLogger,
    AuthEventLogReader,
    BreachCheck,
    Circumstances,
    Client,
    Clock,
    EmailSender,
    EmailSenderWithCodeAndLink,
    EmailSenderWithEventNotice,
    EmailSenderWithPasswordResetLink,
    EmailSenderWithRecoveryNotice,
    EmailSenderWithSecurityNotice,
    EmailSenderWithSignInCode,
    EmailSenderWithSignInLink,
    EmailSenderWithVerificationLink,
    Entitlement,
    EntitlementsProvider,
    EphemeralMode,
    EphemeralStore,
    RandomBytes,
    RecoveryNotice,
    SMSSender,
    SMSSenderWithPasswordResetLink,
    SMSSenderWithRecoveryNotice,
    SMSSenderWithStatusReports,
    SMSSenderWithUseReport,
    language,
    web_host,
)
from authkit_issuer.security.breaches import RangeBreachCheck
from authkit_issuer.security.hashing import HashingLoad
from authkit_issuer.security.siws import SignInAccount, SignInInput, SignInOutput
from authkit_issuer.service import Provider, Service

__all__ = [
    "SOLANA_PROVIDER_SLUG",
    "AccessToken",
    "Account",
    "AdminListUsersResult",
    "AdminUser",
    "AuthError",
    "AuthEventLogReader",
    "AuthEventLogger",
    "AuthSessionEvent",
    "BeforePurge",
    "BreachCheck",
    "ChallengeCache",
    "ChallengeData",
    "Challenged",
    "Circumstances",
    "Client",
    "Clock",
    "Config",
    "ConfigError",
    "EmailSender",
    "EmailSenderWithCodeAndLink",
    "EmailSenderWithEventNotice",
    "EmailSenderWithPasswordResetLink",
    "EmailSenderWithRecoveryNotice",
    "EmailSenderWithSecurityNotice",
    "EmailSenderWithSignInCode",
    "EmailSenderWithSignInLink",
    "EmailSenderWithVerificationLink",
    "Entitlement",
    "EntitlementsProvider",
    "EphemeralMode",
    "EphemeralStore",
    "FirstFactor",
    "HashingLoad",
    "JwksDocument",
    "KeySet",
    "KeySource",
    "LinkedProvider",
    "NewWebhook",
    "NotJoinable",
    "Options",
    "Org",
    "OrgInvite",
    "OrgMembership",
    "OrgMode",
    "PasswordlessFlow",
    "PasswordlessLogin",
    "PendingRegistration",
    "Provider",
    "ProviderConfig",
    "ProviderLink",
    "Purged",
    "RandomBytes",
    "RangeBreachCheck",
    "RecoveryNotice",
    "Registered",
    "Role",
    "SMSSender",
    "SMSSenderWithPasswordResetLink",
    "SMSSenderWithRecoveryNotice",
    "SMSSenderWithStatusReports",
    "SMSSenderWithUseReport",
    "Service",
    "Session",
    "SessionEventType",
    "SessionRevokeReason",
    "SignInAccount",
    "SignInInput",
    "SignInOutput",
    "SigningKey",
    "SiwsLogin",
    "StartupError",
    "StaticKeys",
    "TokenPair",
    "TwoFactorSettings",
    "User",
    "UserExplanation",
    "WebhookEndpoint",
    "is_dev_environment",
    "language",
    "web_host",
]
