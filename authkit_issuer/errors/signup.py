"""Changes of a contact."""

from __future__ import annotations

from authkit_issuer.errors.categories import Invalid


class EmailUnchanged(Invalid):
    """The account has this email address already."""

    code = "email_unchanged"
    default = "The account already has this email address."


class PhoneUnchanged(Invalid):
    """The account has this phone number already."""

    code = "phone_unchanged"
    default = "The account already has this phone number."


class NoPendingEmailChange(Invalid):
    """No change of the email address is pending."""

    code = "no_pending_email_change"
    default = "No change of the email address is pending."


class NoPendingPhoneChange(Invalid):
    """No change to this phone number is pending."""

    code = "no_pending_phone_change"
    default = "No change to this phone number is pending."
