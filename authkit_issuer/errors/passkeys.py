"""Passkeys."""

from __future__ import annotations

from authkit_issuer.errors.categories import Conflict, Invalid, NotConfigured, NotFound, Unauthenticated


class PasskeyInvalid(Unauthenticated):
    """The response of the authenticator fails a check; the refusal does not say which."""

    code = "passkey_invalid"
    default = "The passkey was not accepted."


class PasskeyUnknown(PasskeyInvalid):
    """No account has the credential: the client can have it removed from the authenticator."""

    code = "passkey_unknown"


class PasskeyChallengeExpired(Unauthenticated):
    """No challenge of this purpose and account has these bytes: never issued, expired, or used."""

    code = "passkey_challenge_expired"
    default = "The challenge has expired or was used; start again."


class PasskeySuspended(Unauthenticated):
    """The passkey was right, and its counter showed a copy of it."""

    code = "passkey_suspended"
    default = "This passkey is suspended, because a copy of it was used. Sign in another way and remove it."


class PasskeyNotFound(NotFound):
    """The account has no such passkey, or none at all."""

    code = "passkey_not_found"
    default = "Passkey not found."


class PasskeyAlreadyRegistered(Conflict):
    """The credential is registered."""

    code = "passkey_already_registered"
    default = "This passkey is registered already."


class PasskeyLimitExceeded(Conflict):
    """The account has all the passkeys that it may have."""

    code = "passkey_limit_exceeded"
    default = "The account has the maximum number of passkeys: remove one first."


class InvalidPasskeyName(Invalid):
    """The text cannot name a passkey."""

    code = "invalid_passkey_name"
    default = "The name of a passkey has 1 to 60 printable characters."


class PasskeysNotConfigured(NotConfigured):
    """The deployment has no passkeys."""

    code = "passkeys_not_configured"
    default = "Passkeys are not configured: set webauthn_rp_id."
