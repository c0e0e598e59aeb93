"""Second factors."""

from __future__ import annotations

from authkit_issuer.errors.categories import Conflict, Invalid, Unauthenticated


class TwoFactorRequired(Unauthenticated):
    """The password was right and the account asks for a second factor; nothing was opened."""

    code = "two_factor_required"
    default = "A second factor is required."


class TwoFactorNotEnabled(Conflict):
    """The account has no second factor switched on."""

    code = "2fa_not_enabled"
    default = "The second factor is not enabled."


class TwoFactorMethodInvalid(Invalid):
    """The method is not one that this service knows."""

    code = "2fa_method_invalid"
    default = "The second factor must be email or sms."


class TwoFactorMethodUnavailable(Conflict):
    """The method cannot reach this account: no sender, or no address or number that is its own."""

    code = "2fa_method_unavailable"
    default = "This second factor cannot be used right now."


class InvalidChallenge(Unauthenticated):
    """Unknown, expired, used, voided by wrong codes, or not this user's; sign in again."""

    code = "invalid_challenge"
    default = "The sign-in has expired; start again."
