"""User names, as typed, derived and reserved; and the texts that users and operators write about accounts."""

from __future__ import annotations

import re
from collections.abc import Collection

from authkit_issuer import errors
from authkit_issuer.identifiers.client import storable
from authkit_issuer.identifiers.slugs import owner_slug

MIN_USERNAME = 4
MAX_USERNAME = 30
MAX_BIOGRAPHY = 2000
DEFAULT_RESERVED_USERNAMES = frozenset({"admin", "moderator", "superuser"})
_DERIVED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_USERNAME = re.compile(r"[A-Za-z0-9_]+")


def username(text: str, *, reserved: Collection[str] = DEFAULT_RESERVED_USERNAMES) -> str:
    """Return the trimmed user name, its case kept, or raise the first rule it breaks."""
    value = text.strip()
    if len(value) < MIN_USERNAME:
        raise errors.UsernameTooShort(param="username")
    if len(value) > MAX_USERNAME:
        raise errors.UsernameTooLong(param="username")
    if "@" in value:
        raise errors.UsernameCannotContainAt(param="username")
    if not (value[0].isascii() and value[0].isalpha()):
        raise errors.UsernameMustStartWithLetter(param="username")
    if not _USERNAME.fullmatch(value):
        raise errors.UsernameInvalidCharacters(param="username")
    if is_reserved(value, reserved):
        raise errors.UsernameReserved(param="username")
    return value


def is_reserved(name: str, reserved: Collection[str]) -> bool:
    """True for a reserved name, and for one whose owner slug is reserved, such as ``admin_``."""
    return name.lower() in reserved or owner_slug(name) in reserved


def derived_username(text: str, *, reserved: Collection[str] = DEFAULT_RESERVED_USERNAMES) -> str:
    """Return a valid user name made of any text: what cannot stay is left out, what is missing is added."""
    kept = "".join(char for char in text.lower() if char in _DERIVED)
    name = (kept if kept[:1].isalpha() else f"u{kept}" if kept else "user")[:MAX_USERNAME]
    if len(name) < MIN_USERNAME:
        name += "_user"
    plain, number = name, 0
    while is_reserved(name, reserved):
        number += 1
        name = suffixed_username(plain, f"_{number}")
    return name


def suffixed_username(name: str, suffix: str) -> str:
    """Return the name with a suffix, cut so that the whole still fits."""
    return name[: MAX_USERNAME - len(suffix)] + suffix


def biography(text: str | None) -> str | None:
    """Return the trimmed text, None when nothing is left, or raise ``BiographyTooLong``."""
    value = (text or "").strip()
    if len(value) > MAX_BIOGRAPHY:
        raise errors.BiographyTooLong(param="biography")
    if not storable(value):
        raise errors.Invalid("The biography has characters that cannot be stored.", param="biography")
    return value or None


def reason(text: str | None) -> str | None:
    """Return why an operator does something, trimmed, None when nothing is left; raises ``Invalid``."""
    value = (text or "").strip()
    if not storable(value):
        raise errors.Invalid("The reason has characters that cannot be stored.", param="reason")
    return value or None
