"""Second factors."""

from __future__ import annotations

from authkit_issuer.errors.categories import Conflict, Denied, Invalid, NotFound, Unauthenticated


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


class SecondFactorNotFound(NotFound):
    """The account has no second factor of this id."""

    code = "2fa_factor_not_found"
    default = "There is no second factor of this id."


class DeviceNotFound(NotFound):
    """No device of this id remembers the second factor of the account."""

    code = "2fa_device_not_found"
    default = "There is no remembered device of this id."


class SecondFactorExists(Conflict):
    """The address or number is a second factor of the account already."""

    code = "2fa_factor_exists"
    default = "This is a second factor of the account already."


class TooManySecondFactors(Conflict):
    """The account has as many second factors of the kind as it may have."""

    code = "2fa_too_many_factors"
    default = "The account has too many second factors of this kind; remove one first."


class InvalidFactorName(Invalid):
    """The name is too long, or has characters that cannot be stored."""

    code = "2fa_name_invalid"
    default = "The name of a second factor has at most 60 characters, without control characters."


class TwoFactorEnrollmentRequired(Unauthenticated):
    """The first factor was right, the account must have a second one, and has none; nothing was opened.

    After a sign-in the metadata has an ``enrollment_token``, which adds a second factor and nothing else.
    """

    code = "two_factor_enrollment_required"
    default = "This service requires a second factor; add one, then sign in."


class TwoFactorRequiredByOrg(Denied):
    """The organization requires a second factor of its members, and the account has none."""

    code = "two_factor_required_by_org"
    default = "This organization requires a second factor: add one, or sign in with your passkey."
