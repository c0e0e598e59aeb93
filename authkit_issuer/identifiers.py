"""Normal forms and rules of email addresses, phone numbers, user names, slugs and ids. Pure functions.

Every path that stores or looks up one of these goes through here, so that two spellings of one thing never
become two things.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Collection

from authkit_issuer import errors

MAX_EMAIL = 254
MAX_LOCAL_PART = 64
MIN_USERNAME = 4
MAX_USERNAME = 30
MAX_BIOGRAPHY = 2000
MAX_USER_AGENT = 512
MAX_ORG_SLUG = 63

DEFAULT_RESERVED_USERNAMES = frozenset({"admin", "moderator", "superuser"})

_DERIVED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_PHONE = re.compile(r"\+[1-9][0-9]{1,14}")
_USERNAME = re.compile(r"[A-Za-z0-9_]+")
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ORG_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def email(text: str) -> str:
    """Return the normal form (trimmed, lower case) of an ASCII email address, or raise ``InvalidEmail``.

    The rule is ours and deliberately plain: one ``@``, a dotted domain, no white space or control
    characters (which could split a mail header), at most 64 and 254 characters.
    """
    given = text.strip()
    # Before the letter case is changed: the Kelvin sign, for one, has an ASCII small letter.
    value = given.lower() if given.isascii() else ""
    local, at, domain = value.partition("@")
    if (
        not at
        or "@" in domain
        or not 1 <= len(local) <= MAX_LOCAL_PART
        or len(value) > MAX_EMAIL
        or not value.isprintable()
        or " " in value
        or "." not in domain
        or "" in domain.split(".")
    ):
        raise errors.InvalidEmail(param="email")
    return value


def phone(text: str) -> str:
    """Return the trimmed E.164 number, or raise ``InvalidPhoneNumber``; nothing is guessed or stripped."""
    value = text.strip()
    if not _PHONE.fullmatch(value):
        raise errors.InvalidPhoneNumber(param="phone_number")
    return value


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
    if value.lower() in reserved:
        raise errors.UsernameReserved(param="username")
    return value


def derived_username(text: str, *, reserved: Collection[str] = DEFAULT_RESERVED_USERNAMES) -> str:
    """Return a valid user name made of any text: what cannot stay is left out, what is missing is added."""
    kept = "".join(char for char in text.lower() if char in _DERIVED)
    name = (kept if kept[:1].isalpha() else f"u{kept}" if kept else "user")[:MAX_USERNAME]
    if len(name) < MIN_USERNAME:
        name += "_user"
    plain, number = name, 0
    while name in reserved:
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


def slug(text: str) -> str:
    """Return the normal form under which names are held and resolved, or raise ``InvalidSlug``."""
    value = text.strip().lower()
    if not _SLUG.fullmatch(value):
        raise errors.InvalidSlug(param="slug")
    return value


def owner_slug(name: str) -> str:
    """Return the owner slug of a user name: ``A__B--C`` becomes ``a-b-c``. May be empty."""
    kept = "".join(
        char for char in name.strip().lower() if char.isascii() and (char.isalnum() or char in "-_")
    )
    return re.sub(r"[-_]+", "-", kept).strip("-")


def org_slug(text: str) -> str:
    """Return the normal form of an organization slug, or raise ``InvalidOrgSlug``."""
    value = text.strip().lower()
    if not _ORG_SLUG.fullmatch(value):
        raise errors.InvalidOrgSlug(param="org")
    return value


def user_id(text: str) -> str | None:
    """Return the id in canonical form, or None when it cannot be anybody's id."""
    if _UUID.fullmatch(text):
        return text
    try:
        canonical = str(uuid.UUID(text))
    except ValueError:
        return None
    # Only another letter case is the same id; braces, URNs and missing hyphens are not.
    return canonical if canonical == text.lower() else None


def new_id(random_bytes: Callable[[int], bytes]) -> str:
    """Return a fresh random UUID (RFC 9562 section 5.4) as text."""
    return str(uuid.UUID(bytes=random_bytes(16), version=4))


def user_agent(text: str | None) -> str | None:
    """Return the user agent as it may be stored: no control characters, at most 512 characters."""
    if not text:
        return None
    cleaned = "".join(char if char.isprintable() else " " for char in text).strip()
    return cleaned[:MAX_USER_AGENT] or None


def ip_address(text: str | None) -> str | None:
    """Return the address in canonical form with an IPv4-mapped one unwrapped, or None when it is not one."""
    if not text:
        return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def ip_prefix(text: str | None) -> str:
    """Return what limits and comparisons go by: the IPv4 address, the IPv6 /64, ``""`` when unknown."""
    canonical = ip_address(text)
    if canonical is None:
        return ""
    address = ipaddress.ip_address(canonical)
    if isinstance(address, ipaddress.IPv4Address):
        return canonical
    return str(ipaddress.ip_network((address, 64), strict=False))


def storable(text: str) -> bool:
    """Tell whether PostgreSQL can hold the text: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
