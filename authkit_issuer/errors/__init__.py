"""Every failure a caller can act on, as one tree.

    AuthError
    ├── Invalid              the request is malformed or breaks a rule
    ├── Unauthenticated      the credential does not prove who the caller is
    ├── Denied               the caller is known and may not do this
    ├── NotFound             the thing named does not exist
    ├── Conflict             the state of something else stands in the way
    ├── Limited              too often; carries ``retry_after``
    ├── NotConfigured        the deployment has not switched this on
    ├── DeliveryFailed       a mail or text message could not be handed over
    └── Unavailable          a part of the service is down; carries ``retry_after``
    ConfigError              the configuration cannot work; raised before anything starts
    StartupError             the process cannot start: one plain sentence for the operator

A leaf has a stable ``code`` and never an HTTP number: ``authkit_issuer.http.errors`` alone maps the bases
to statuses. Infrastructure failures are always ``Unavailable`` and are never turned into "absent",
"wrong" or "not enabled".
"""

from __future__ import annotations

from authkit_issuer.errors.access import (
    DisallowedAlg,
    InvalidOrgSlug,
    InvalidRefreshToken,
    InvalidTarget,
    NotOrgMember,
    OrgModeNotMulti,
    OrgNotFound,
    RefreshTokenReuseDetected,
    ReservedClaim,
    RoleNotFound,
    SessionEnded,
    SessionNotFound,
    UnknownKid,
)
from authkit_issuer.errors.base import (
    AuthError,
    ConfigError,
    Conflict,
    DeliveryFailed,
    Denied,
    Invalid,
    Limited,
    NotConfigured,
    NotFound,
    NotJoinable,
    StartupError,
    Unauthenticated,
    Unavailable,
)
from authkit_issuer.errors.infrastructure import (
    DatabaseUnavailable,
    EmailDeliveryFailed,
    EmailUnavailable,
    EntitlementsUnavailable,
    EphemeralStoreUnavailable,
    MissingSigner,
    ServerBusy,
    SmsDeliveryFailed,
    SmsUnavailable,
    StorageNotConfigured,
    TooManyRequests,
)
from authkit_issuer.errors.people import (
    BiographyTooLong,
    EmailInUse,
    InvalidEmail,
    InvalidIdentifier,
    InvalidPhoneNumber,
    InvalidUsernameForOwnerNamespace,
    OwnerSlugTaken,
    PhoneInUse,
    UserBanned,
    UserDisabled,
    UsernameCannotContainAt,
    UsernameInUse,
    UsernameInvalidCharacters,
    UsernameMustStartWithLetter,
    UsernameReserved,
    UsernameTooLong,
    UsernameTooShort,
    UserNotFound,
)
from authkit_issuer.errors.proofs import (
    CurrentPasswordRequired,
    EmailNotVerified,
    InvalidCredentials,
    InvalidOrExpiredCode,
    InvalidOrExpiredToken,
    InvalidPasswordHash,
    PasswordResetRequired,
    PasswordTooCommon,
    PasswordTooLong,
    PasswordTooShort,
    PhoneNotVerified,
    TwoFactorRequired,
)

__all__ = [
    "AuthError",
    "BiographyTooLong",
    "ConfigError",
    "Conflict",
    "CurrentPasswordRequired",
    "DatabaseUnavailable",
    "DeliveryFailed",
    "Denied",
    "DisallowedAlg",
    "EmailDeliveryFailed",
    "EmailInUse",
    "EmailNotVerified",
    "EmailUnavailable",
    "EntitlementsUnavailable",
    "EphemeralStoreUnavailable",
    "Invalid",
    "InvalidCredentials",
    "InvalidEmail",
    "InvalidIdentifier",
    "InvalidOrExpiredCode",
    "InvalidOrExpiredToken",
    "InvalidOrgSlug",
    "InvalidPasswordHash",
    "InvalidPhoneNumber",
    "InvalidRefreshToken",
    "InvalidTarget",
    "InvalidUsernameForOwnerNamespace",
    "Limited",
    "MissingSigner",
    "NotConfigured",
    "NotFound",
    "NotJoinable",
    "NotOrgMember",
    "OrgModeNotMulti",
    "OrgNotFound",
    "OwnerSlugTaken",
    "PasswordResetRequired",
    "PasswordTooCommon",
    "PasswordTooLong",
    "PasswordTooShort",
    "PhoneInUse",
    "PhoneNotVerified",
    "RefreshTokenReuseDetected",
    "ReservedClaim",
    "RoleNotFound",
    "ServerBusy",
    "SessionEnded",
    "SessionNotFound",
    "SmsDeliveryFailed",
    "SmsUnavailable",
    "StartupError",
    "StorageNotConfigured",
    "TooManyRequests",
    "TwoFactorRequired",
    "Unauthenticated",
    "Unavailable",
    "UnknownKid",
    "UserBanned",
    "UserDisabled",
    "UserNotFound",
    "UsernameCannotContainAt",
    "UsernameInUse",
    "UsernameInvalidCharacters",
    "UsernameMustStartWithLetter",
    "UsernameReserved",
    "UsernameTooLong",
    "UsernameTooShort",
]
