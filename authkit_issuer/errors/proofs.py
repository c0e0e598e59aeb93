"""Passwords, one-time codes and registrations."""

from __future__ import annotations

from authkit_issuer.errors.base import Invalid, Unauthenticated


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


class PasswordBreached(Invalid):
    """The password is known from a breach."""

    code = "password_breached"
    default = "This password is known from a data breach."


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


class CurrentPasswordRequired(Invalid):
    """The caller must show the password that goes with the record; nothing was used up."""

    code = "current_password_required"
    default = "The password is needed as well."


class TwoFactorRequired(Unauthenticated):
    """The password was right and the account asks for a second factor; nothing was opened."""

    code = "two_factor_required"
    default = "A second factor is required."


class EmailNotVerified(Unauthenticated):
    """The password was right and the mail address is not confirmed."""

    code = "email_not_verified"
    default = "The mail address is not confirmed yet."


class PhoneNotVerified(Unauthenticated):
    """The password was right and the phone number is not confirmed."""

    code = "phone_not_verified"
    default = "The phone number is not confirmed yet."
