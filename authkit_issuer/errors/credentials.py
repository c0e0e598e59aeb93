"""Passwords."""

from __future__ import annotations

from authkit_issuer.errors.categories import Invalid, Unauthenticated, Unavailable


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
    default = "The password hash cannot be used."


class PasswordResetRequired(Unauthenticated):
    """The password was right, and must be replaced before it opens anything."""

    code = "password_reset_required"
    default = "The password must be reset."


class CurrentPasswordRequired(Invalid):
    """The caller must show the password that goes with the record; nothing was used up."""

    code = "current_password_required"
    default = "The current password is required."


class BreachCheckUnavailable(Unavailable):
    """The host's breach check failed or took too long, and is configured to fail closed."""

    code = "breach_check_unavailable"
    default = "Passwords cannot be checked right now."
