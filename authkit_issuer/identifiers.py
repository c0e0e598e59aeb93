"""Normal forms and rules of email addresses, phone numbers, user names, slugs and ids. Pure functions.

Every path that stores or looks up one of these goes through here, so that two spellings of one thing never
become two things.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
import uuid
from collections.abc import Callable, Collection

import idna

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
_MAILTO = "mailto:"
# RFC 5322 section 3.2.3, without its comments: what needs no quoting in any mail header.
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PHONE = re.compile(r"\+[1-9][0-9]{1,16}")
# Blanks, hyphens and dashes, full stops, slashes and parentheses, as numbers are printed and pasted.
_PHONE_SEPARATORS = re.compile(r"[ \t\u00a0\u2009\u202f\u2010-\u2015./()-]")
_USERNAME = re.compile(r"[A-Za-z0-9_]+")
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ORG_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NO_COUNTRY = "001"
"""The region of calling codes that belong to no country."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def email(text: str) -> str:
    """Return the normal form of an email address, or raise ``InvalidEmail`` with the rule it breaks.

    The local part is a dot-atom in lower case, the host name is in A-labels (IDNA 2008). What comes with a
    pasted address is trimmed: blanks, angle brackets, ``mailto:``, a comma or semicolon at the end. A mail
    header that holds the result names one recipient, in whatever way it is read.
    """
    local, at, host = _pasted_address(text).rpartition("@")
    if not at or not local or not host:
        raise _not_an_email("An email address has a name, one @ and a domain, as in ada@example.com.")
    if len(local) > MAX_LOCAL_PART:
        raise _not_an_email(f"The part before the @ has more than {MAX_LOCAL_PART} characters.")
    # Before the letter case is changed: the Kelvin sign, for one, has an ASCII small letter.
    if local.startswith("-") or not _DOT_ATOM.fullmatch(local):
        raise _not_an_email(
            "The part before the @ may hold ASCII letters, digits and !#$%&'*+/=?^_`{|}~-, and single dots "
            "between them; it does not start with a hyphen."
        )
    value = f"{local.lower()}@{_mail_host(host)}"
    if len(value) > MAX_EMAIL:
        raise _not_an_email(f"The email address has more than {MAX_EMAIL} characters.")
    return value


def displayed_email(address: str) -> str:
    """Return a stored address for people to read, with the A-labels of its host name decoded."""
    local, at, host = address.rpartition("@")
    return f"{local}{at}{'.'.join(map(_displayed_label, host.split('.')))}"


def _displayed_label(label: str) -> str:
    try:
        return idna.ulabel(label) if label.startswith("xn--") else label
    except UnicodeError:
        return label


def _pasted_address(text: str) -> str:
    """Return the address inside what a mail program or a web page puts on the clipboard."""
    inside = text.strip().rstrip(",; ")
    if inside.startswith("<") and inside.endswith(">"):
        inside = inside[1:-1].strip()
    return inside[len(_MAILTO) :] if inside[: len(_MAILTO)].lower() == _MAILTO else inside


def _mail_host(text: str) -> str:
    """Return the host name in A-labels, or raise ``InvalidEmail``."""
    if len(text) > MAX_EMAIL:
        raise _not_an_email(f"The email address has more than {MAX_EMAIL} characters.")
    # The Kelvin sign and its like become ASCII here: that name is another one than the user reads.
    if any(not char.isascii() and _folded(char).isascii() for char in text):
        raise _not_an_email("The domain has a character that only looks like an ASCII one.")
    labels = [_mail_label(label) for label in _folded(text).split(".")]
    if len(labels) < 2 or labels[-1].isdigit():
        raise _not_an_email("The domain must be a full host name, as in ada@example.com; no IP address.")
    return ".".join(labels)


def _mail_label(label: str) -> str:
    if label.isascii() and not label.startswith("xn--"):
        if _HOST_LABEL.fullmatch(label):
            return label
        raise _not_an_email(
            "A label of the domain has 1 to 63 letters, digits and hyphens, and no hyphen at either end."
        )
    try:
        return idna.alabel(label).decode("ascii")
    except UnicodeError:
        raise _not_an_email("The domain is not a host name by IDNA 2008.") from None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


def _not_an_email(message: str) -> errors.InvalidEmail:
    return errors.InvalidEmail(message, param="email")


def phone(text: str) -> str:
    """Return a phone number in E.164 form, or raise ``InvalidPhoneNumber`` with the rule it breaks.

    The number is in international form, with ``+`` or ``00``. Separators are left out, and so is the trunk
    zero where the country has one: ``+49 (0)151 1234567`` and ``+491511234567`` are one number.
    """
    digits = _PHONE_SEPARATORS.sub("", text.strip())
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    if not _PHONE.fullmatch(digits):
        raise _not_a_phone("The phone number must start with + and the country code, as in +4915112345678.")
    number = _e164(digits)
    # Dropping a zero may leave another one: what is stored must read as itself.
    while (again := _e164(number)) != number:
        number = again
    return number


def is_calling_code(text: str) -> bool:
    """True for a country calling code such as ``49``."""
    import phonenumbers  # noqa: PLC0415 - as below

    plain = text.isascii() and text.isdecimal() and not text.startswith("0")
    return plain and int(text) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE


def takes_sms(number: str, calling_codes: Collection[str] = ()) -> bool:
    """True if an SMS may go to a number in E.164 form.

    It may not go to premium and shared-cost numbers, whose holders earn by every message, nor to a country
    that is not among ``calling_codes``. Without such codes every country is allowed, and the networks of no
    country (satellite phones and the like) are not.
    """
    import phonenumbers  # noqa: PLC0415 - as below

    parsed = phonenumbers.parse(number)
    if phonenumbers.number_type(parsed) in {
        phonenumbers.PhoneNumberType.PREMIUM_RATE,
        phonenumbers.PhoneNumberType.SHARED_COST,
    }:
        return False
    if calling_codes:
        return str(parsed.country_code) in calling_codes
    return phonenumbers.region_code_for_country_code(parsed.country_code or 0) != _NO_COUNTRY


def is_phone(identifier: str) -> bool:
    """True if the identifier has the shape of a phone number: no email address or user name starts so."""
    text = identifier.strip().removeprefix("(")
    return "@" not in text and text.startswith(("+", "00"))


def _e164(digits: str) -> str:
    # Only services that take phone numbers load the numbering plans.
    import phonenumbers  # noqa: PLC0415

    try:
        number = phonenumbers.parse(digits)
    except phonenumbers.NumberParseException:
        raise _not_a_phone("The phone number has no known country code.") from None
    if not phonenumbers.is_possible_number(number):
        raise _not_a_phone("No phone number of this country has that many digits.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _not_a_phone(message: str) -> errors.InvalidPhoneNumber:
    return errors.InvalidPhoneNumber(message, param="phone_number")


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


def uuid_or_none(text: str) -> str | None:
    """Return a UUID in canonical form, or None if the text is not one."""
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
    """True if PostgreSQL can hold the text: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
