"""Changes of a contact."""

from __future__ import annotations

from authkit_issuer.errors.categories import Denied, Invalid


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


class AccountProofRequired(Denied):
    """The account has a password or is in use, and the caller has not shown to be its user.

    ``metadata.username`` names it.
    """

    code = "account_proof_required"
    default = "Sign in to this account or give its password, or say that the account is not yours."
