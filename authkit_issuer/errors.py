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

from collections.abc import Mapping
from typing import ClassVar


class AuthError(Exception):
    """A refusal with a stable code; ``metadata`` holds only what may be shown to the caller."""

    code: ClassVar[str] = "error"
    default: ClassVar[str] = "The request was refused."

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Keep the safe text, the offending parameter's name and facts that may be shown."""
        super().__init__(message or self.default)
        self.param = param
        self.metadata: dict[str, object] = dict(metadata or {})

    @property
    def description(self) -> str:
        """The human sentence; safe to show, free of secrets and of the caller's input."""
        return str(self)


class Invalid(AuthError):
    """The request is malformed or breaks a rule."""

    code = "invalid_request"
    default = "The request is malformed."


class Unauthenticated(AuthError):
    """The credential does not prove who the caller is."""

    code = "invalid_credentials"
    default = "The credentials are wrong."


class Denied(AuthError):
    """The caller is known and may not do this."""

    code = "forbidden"
    default = "This is not allowed."


class NotFound(AuthError):
    """The thing named does not exist."""

    code = "not_found"
    default = "There is no such thing."


class Conflict(AuthError):
    """The state of something else stands in the way."""

    code = "conflict"
    default = "This conflicts with something that exists."


class NotConfigured(AuthError):
    """The deployment has not switched this on."""

    code = "not_configured"
    default = "This is not configured."


class DeliveryFailed(AuthError):
    """A mail or text message could not be handed over."""

    code = "delivery_failed"
    default = "The message could not be sent."


class _Retryable(AuthError):
    """A refusal that says when to come back; ``retry_after`` is in seconds."""

    def __init__(self, message: str | None = None, *, retry_after: float = 1.0) -> None:
        """Keep the number of seconds after which trying again makes sense."""
        super().__init__(message)
        self.retry_after = retry_after


class Limited(_Retryable):
    """Too often; ``retry_after`` seconds from now it may work again."""

    code = "too_many_requests"
    default = "Too many requests."


class Unavailable(_Retryable):
    """A part of the service is down or overloaded; nothing was decided about the caller."""

    code = "unavailable"
    default = "The service cannot answer right now."


class ConfigError(ValueError):
    """The configuration cannot work; the message is one sentence that names the setting."""


class StartupError(RuntimeError):
    """The process cannot start; the message is one plain sentence for the operator."""


class NotJoinable(RuntimeError):
    """A method that must leave a mark when it refuses was called inside a host's transaction."""


# --- infrastructure ------------------------------------------------------------------------------------


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer, or the connection was lost."""

    code = "database_unavailable"
    default = "The database cannot be reached right now."


class EphemeralStoreUnavailable(Unavailable):
    """The ephemeral store did not answer."""

    code = "ephemeral_store_unavailable"
    default = "The ephemeral store cannot be reached right now."


class ServerBusy(Unavailable):
    """The password-hashing lanes are full; the caller should come back shortly."""

    code = "server_busy"
    default = "The server is busy; try again shortly."


class StorageNotConfigured(NotConfigured):
    """The call needs a database and the service was opened without one."""

    code = "storage_not_configured"
    default = "This service has no database."


class MissingSigner(NotConfigured):
    """No signing key is configured, so no token can be minted."""

    code = "missing_signer"
    default = "No signing key is configured."


class EmailUnavailable(NotConfigured):
    """No mail sender is configured."""

    code = "email_unavailable"
    default = "No mail sender is configured."


class SmsUnavailable(NotConfigured):
    """No text-message sender is configured."""

    code = "sms_unavailable"
    default = "No text-message sender is configured."


class EmailDeliveryFailed(DeliveryFailed):
    """The mail could not be handed to the mail system."""

    code = "email_delivery_failed"
    default = "The mail could not be sent."


class SmsDeliveryFailed(DeliveryFailed):
    """The text message could not be handed over."""

    code = "sms_delivery_failed"
    default = "The text message could not be sent."


class TooManyRequests(Limited):
    """A per-account or per-target limit was reached."""


# --- users and contacts --------------------------------------------------------------------------------


class UserNotFound(NotFound):
    """No such user; a malformed id counts as no such user."""

    code = "user_not_found"
    default = "There is no such user."


class UserBanned(Unauthenticated):
    """The account is banned or deleted."""

    code = "user_banned"
    default = "This account may not sign in."


class UserDisabled(Unauthenticated):
    """The account behind the credential is gone or may no longer act."""

    code = "user_disabled"
    default = "This account is disabled."


class InvalidEmail(Invalid):
    """The text is not a mail address this service accepts."""

    code = "invalid_email"
    default = "This is not a mail address this service accepts."


class InvalidPhoneNumber(Invalid):
    """The text is not an E.164 number."""

    code = "invalid_phone_number"
    default = "The phone number must be in E.164 form, for example +4915112345678."


class InvalidIdentifier(Invalid):
    """The text is neither a mail address nor an E.164 number nor, where allowed, a user name."""

    code = "invalid_identifier"
    default = "The identifier must be a mail address or a phone number."


class UsernameTooShort(Invalid):
    """The user name has fewer than 4 characters."""

    code = "username_too_short"
    default = "The user name must have at least 4 characters."


class UsernameTooLong(Invalid):
    """The user name has more than 30 characters."""

    code = "username_too_long"
    default = "The user name must have at most 30 characters."


class UsernameMustStartWithLetter(Invalid):
    """The first character is not an ASCII letter."""

    code = "username_must_start_with_letter"
    default = "The user name must start with a letter."


class UsernameCannotContainAt(Invalid):
    """The user name holds an ``@`` and could be taken for a mail address."""

    code = "username_cannot_contain_at"
    default = "The user name must not contain @."


class UsernameInvalidCharacters(Invalid):
    """The user name holds something else than ASCII letters, digits and underscores."""

    code = "username_invalid_characters"
    default = "The user name may hold letters, digits and underscores only."


class UsernameReserved(Invalid):
    """The user name is kept for the operators."""

    code = "username_reserved"
    default = "This user name is reserved."


class EmailInUse(Invalid):
    """Another account has this mail address."""

    code = "email_in_use"
    default = "This mail address is in use."


class PhoneInUse(Invalid):
    """Another account has this phone number."""

    code = "phone_in_use"
    default = "This phone number is in use."


class UsernameInUse(Invalid):
    """Another account has, or once had, this user name."""

    code = "username_in_use"
    default = "This user name is in use."


class OwnerSlugTaken(Invalid):
    """The name is taken in the namespace that users and organisations share."""

    code = "owner_slug_taken"
    default = "This name is taken."


class InvalidUsernameForOwnerNamespace(Invalid):
    """The user name has no form that could be an owner slug."""

    code = "invalid_username_for_owner_namespace"
    default = "This user name cannot be used as an owner name."


class BiographyTooLong(Invalid):
    """The biography has more than 2000 characters."""

    code = "biography_too_long"
    default = "The biography may have at most 2000 characters."


# --- passwords, codes, registration --------------------------------------------------------------------


class InvalidCredentials(Unauthenticated):
    """Unknown account, account without password or wrong password: the three cannot be told apart."""


class PasswordTooShort(Invalid):
    """The password has fewer than 8 code points."""

    code = "password_too_short"
    default = "The password must have at least 8 characters."


class PasswordTooLong(Invalid):
    """The password has more than 1024 UTF-8 bytes."""

    code = "password_too_long"
    default = "The password may have at most 1024 bytes."


class PasswordTooCommon(Invalid):
    """The password stands in the list of common passwords."""

    code = "password_too_common"
    default = "This password is too common."


class InvalidPasswordHash(Invalid):
    """The hash cannot be parsed for its algorithm, or asks for an absurd amount of work."""

    code = "invalid_password_hash"
    default = "The password hash is not usable."


class PasswordResetRequired(Unauthenticated):
    """The password was right, and must be replaced before it opens anything."""

    code = "password_reset_required"
    default = "The password must be reset first."


class InvalidOrExpiredCode(Invalid):
    """Wrong, expired, used, or not this caller's code: the cases cannot be told apart."""

    code = "invalid_or_expired_code"
    default = "The code is wrong or has expired."


class InvalidOrExpiredToken(Invalid):
    """Wrong, expired or used link token."""

    code = "invalid_or_expired_token"
    default = "The link is not valid or has expired."


class EmailNotVerified(Unauthenticated):
    """The password was right and the mail address is not confirmed."""

    code = "email_not_verified"
    default = "The mail address is not confirmed yet."


class PhoneNotVerified(Unauthenticated):
    """The password was right and the phone number is not confirmed."""

    code = "phone_not_verified"
    default = "The phone number is not confirmed yet."


# --- tokens and sessions -------------------------------------------------------------------------------


class ReservedClaim(Invalid):
    """The caller's extra claims name one that only this service may set."""

    code = "reserved_claim"
    default = "An extra claim has a reserved name."


class UnknownKid(NotFound):
    """No published key has this key id."""

    code = "unknown_kid"
    default = "There is no such key."


class DisallowedAlg(Invalid):
    """The token's algorithm does not fit the key."""

    code = "disallowed_alg"
    default = "The algorithm does not fit the key."


class InvalidRefreshToken(Unauthenticated):
    """Forged, truncated, foreign, expired or ended: the refresh token opens nothing."""

    code = "invalid_refresh_token"
    default = "The refresh token is not valid."


class RefreshTokenReuseDetected(InvalidRefreshToken):
    """An already rotated refresh token came back; its session has been ended (RFC 9700 section 4.14.2)."""

    code = "refresh_token_reuse_detected"
    default = "The refresh token was used before; the session has been ended."


class SessionNotFound(NotFound):
    """The caller has no such session."""

    code = "session_not_found"
    default = "There is no such session."


class InvalidTarget(Invalid):
    """The requested organisation cannot be had; the refresh token stays good (RFC 8707 section 2)."""

    code = "invalid_target"
    default = "The requested organisation cannot be used."


# --- roles and organisations ---------------------------------------------------------------------------


class InvalidOrgSlug(Invalid):
    """The text is not an organisation slug."""

    code = "invalid_org_slug"
    default = "An organisation name has 1 to 63 of a-z, 0-9 and inner hyphens."


class OrgNotFound(NotFound):
    """No such organisation."""

    code = "org_not_found"
    default = "There is no such organisation."


class NotOrgMember(Denied):
    """The user is not a member of the organisation."""

    code = "not_org_member"
    default = "Not a member of this organisation."


class OrgModeNotMulti(Invalid):
    """The service runs in single-organisation mode."""

    code = "org_mode_not_multi"
    default = "This service has no organisations."


class RoleNotFound(NotFound):
    """The role is not defined."""

    code = "role_not_found"
    default = "There is no such role."
