"""The one rule of a phone number: E.164, possible numbers only; and which numbers take SMS."""

from __future__ import annotations

import re
from collections.abc import Collection

from authkit_issuer import errors

_PHONE = re.compile(r"\+[1-9][0-9]{1,16}")
# Blanks, hyphens and dashes, full stops, slashes and parentheses, as numbers are printed and pasted.
_PHONE_SEPARATORS = re.compile(r"[ \t\u00a0\u2009\u202f\u2010-\u2015./()-]")
_MAX_DIGITS = 15
"""E.164 section 6.1, country code included; some numbering plans of the library allow more."""
_ANY_COUNTRY = "*"
_NO_COUNTRY = "001"
"""The region of calling codes that belong to no country."""


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
    that is not among ``calling_codes``. Without such codes, or with ``*``, every country is allowed, and the
    networks of no country (satellite phones and the like) are not.
    """
    import phonenumbers  # noqa: PLC0415 - as below

    parsed = phonenumbers.parse(number)
    if phonenumbers.number_type(parsed) in {
        phonenumbers.PhoneNumberType.PREMIUM_RATE,
        phonenumbers.PhoneNumberType.SHARED_COST,
    }:
        return False
    if calling_codes and _ANY_COUNTRY not in calling_codes:
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
    found = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if not phonenumbers.is_possible_number(number) or len(found) > len("+") + _MAX_DIGITS:
        raise _not_a_phone("No phone number of this country has that many digits.")
    return found


def _not_a_phone(message: str) -> errors.InvalidPhoneNumber:
    return errors.InvalidPhoneNumber(message, param="phone_number")
