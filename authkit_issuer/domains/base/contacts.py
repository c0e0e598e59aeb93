"""The two kinds of contact: email addresses and phone numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from authkit_issuer import errors, identifiers
from authkit_issuer.config import Config
from authkit_issuer.ports import EmailSender, Senders, SMSSender
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContactKind:
    """What differs between an email address and a phone number. There are two: ``EMAIL`` and ``PHONE``."""

    name: Literal["email", "phone"]
    param: str
    """The request member that an error names."""
    limit: str
    """The sending limit that registrations, verifications and changes share."""
    column: str
    verified_column: str
    lookup: str
    """The SQL of a user ``u`` that equals the normal form; it has a unique index."""
    normalize: Callable[[str], str]
    """Returns the normal form; raises ``InvalidEmail`` or ``InvalidPhoneNumber``."""
    in_use: type[errors.AuthError]
    unavailable: type[errors.AuthError]
    """There is no sender."""
    delivery_failed: type[errors.AuthError]

    def normal_or_none(self, text: str) -> str | None:
        """The normal form, or None if the text is no address or number."""
        try:
            return self.normalize(text)
        except errors.Invalid:
            return None

    def sender(self, senders: Senders) -> EmailSender | SMSSender | None:
        """The host's sender for this kind, or None."""
        return senders.email if self is EMAIL else senders.sms

    def pending_ttl(self, config: Config) -> float:
        """How many seconds a registration or change waits for its code."""
        return config.pending_email_ttl if self is EMAIL else config.pending_phone_ttl


EMAIL = ContactKind(
    name="email",
    param="email",
    limit="email_code",
    column="email",
    verified_column="email_verified",
    lookup="lower(u.email)",
    normalize=identifiers.email,
    in_use=errors.EmailInUse,
    unavailable=errors.EmailUnavailable,
    delivery_failed=errors.EmailDeliveryFailed,
)
PHONE = ContactKind(
    name="phone",
    param="phone_number",
    limit="phone_code",
    column="phone_number",
    verified_column="phone_verified",
    lookup="u.phone_number",
    normalize=identifiers.phone,
    in_use=errors.PhoneInUse,
    unavailable=errors.SmsUnavailable,
    delivery_failed=errors.SmsDeliveryFailed,
)
CONTACT_KINDS = (EMAIL, PHONE)


def signs_in(rt: Runtime, kind: ContactKind) -> bool:
    """True if a message to a contact of this kind signs its user in (``passwordless``)."""
    mode = rt.config.passwordless
    # A link cannot be bound to a browser by SMS: the number has codes alone.
    offered = mode != "off" and (kind is EMAIL or mode != "link")
    return offered and kind.sender(rt.senders) is not None


def kind_of(identifier: str) -> ContactKind:
    """The kind of an address or number: a number starts with a plus sign."""
    return PHONE if identifiers.is_phone(identifier) else EMAIL
