"""How long a password may be, and the form in which it is measured and hashed (SP 800-63B-4 3.1.1.2)."""

from __future__ import annotations

import unicodedata

from authkit_issuer import errors

_NOT_UTF8 = "The password contains lone surrogates, which have no UTF-8 form. Send it as Unicode text."
MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_BYTES = 1024
MAX_NORMALIZED_CHARS = 1536
"""Longer texts stay as typed: normalizing combining marks costs the square of their number.

They are too long in NFC as well, where two bytes stand for three code points at most.
"""


def normalized(password: str) -> str:
    """The password in Unicode form NFC, as it is hashed; two keyboards may compose "ü" differently.

    Never NFKC, which would make different passwords one; letter case and blanks stay.
    """
    return password if len(password) > MAX_NORMALIZED_CHARS else unicodedata.normalize("NFC", password)


def check_length(password: str) -> None:
    """Check that a password has 8 code points to 1024 UTF-8 bytes in NFC; it is never trimmed.

    Raises:
        PasswordTooShort: It has fewer than 8 code points.
        PasswordTooLong: It has more than 1024 UTF-8 bytes.
        Invalid: It has no UTF-8 form (lone surrogates).
    """
    composed = normalized(password)
    if len(composed) < MIN_PASSWORD_CHARS:
        raise errors.PasswordTooShort(param="password")
    if len(as_bytes(composed)) > MAX_PASSWORD_BYTES:
        raise errors.PasswordTooLong(param="password")


def as_bytes(password: str) -> bytes:
    """The UTF-8 bytes of a password; raises ``Invalid`` for lone surrogates."""
    try:
        return password.encode("utf-8")
    except UnicodeEncodeError:
        # Not chained: the error holds the password.
        raise errors.Invalid(
            _NOT_UTF8,
            param="password",
        ) from None
