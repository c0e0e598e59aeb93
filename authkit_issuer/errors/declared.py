"""What a public method of a capability refuses, said once, on the method.

HTTP reads it to document the operations that call the method. Storage failures are declared by what works for
callers without an access token; every operation with a token asks the database already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from authkit_issuer.errors.accounts import (
    UsernameCannotContainAt,
    UsernameInvalidCharacters,
    UsernameMustStartWithLetter,
    UsernameReserved,
    UsernameTooLong,
    UsernameTooShort,
)
from authkit_issuer.errors.categories import AuthError
from authkit_issuer.errors.credentials import (
    BreachCheckUnavailable,
    PasswordBreached,
    PasswordTooCommon,
    PasswordTooLong,
    PasswordTooShort,
)
from authkit_issuer.errors.infrastructure import DatabaseUnavailable, EphemeralStoreUnavailable
from authkit_issuer.errors.shared import (
    EmailDeliveryFailed,
    EmailUnavailable,
    SmsDeliveryFailed,
    SmsUnavailable,
)

_Method = TypeVar("_Method", bound=Callable[..., Any])
_DECLARED = "__raises__"

USERNAME_RULES = (
    UsernameTooShort,
    UsernameTooLong,
    UsernameCannotContainAt,
    UsernameMustStartWithLetter,
    UsernameInvalidCharacters,
    UsernameReserved,
)
"""Refusals of a user name by its form alone."""
PASSWORD_LENGTH = (PasswordTooShort, PasswordTooLong, PasswordTooCommon)
PASSWORD_RULES = (*PASSWORD_LENGTH, PasswordBreached, BreachCheckUnavailable)
"""What a new password may be refused for, the breach check included."""
EMAIL_SENDING = (EmailUnavailable, EmailDeliveryFailed)
SMS_SENDING = (SmsUnavailable, SmsDeliveryFailed)
STORES = (DatabaseUnavailable, EphemeralStoreUnavailable)


def raises(*kinds: type[AuthError]) -> Callable[[_Method], _Method]:
    """Declare the refusals of a method; the method itself stays as it is."""

    def declare(method: _Method) -> _Method:
        setattr(method, _DECLARED, kinds)
        return method

    return declare


def declared(method: Callable[..., Any]) -> tuple[type[AuthError], ...]:
    """Return the refusals that a method declares, none for one that declares nothing."""
    found: tuple[type[AuthError], ...] = getattr(method, _DECLARED, ())
    return found
