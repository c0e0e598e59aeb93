"""Sign-in: by password, by an external provider, by a wallet."""

from __future__ import annotations

from authkit_issuer.errors.categories import (
    Conflict,
    Denied,
    Invalid,
    NotConfigured,
    NotFound,
    Unauthenticated,
    Unavailable,
)


class InvalidCredentials(Unauthenticated):
    """Unknown account, account without password or wrong password: the three cannot be told apart."""


class EmailNotVerified(Unauthenticated):
    """The password was right and the email address is not confirmed."""

    code = "email_not_verified"
    default = "The email address is not confirmed yet."


class PhoneNotVerified(Unauthenticated):
    """The password was right and the phone number is not confirmed."""

    code = "phone_not_verified"
    default = "The phone number is not confirmed yet."


class LoginFrozen(Unauthenticated):
    """The login or wallet is older than the owner's first proof of the account's contact."""

    code = "login_frozen"
    default = "This login awaits confirmation: sign in another way, then confirm it in the account."


class SignInBeganElsewhere(Denied):
    """The link belongs to a sign-in that did not begin in this browser; it stays unused."""

    code = "sign_in_began_elsewhere"
    default = "This link signs in only where the sign-in began: type the code of the same message there."


class PasswordlessNotConfigured(NotConfigured):
    """No message to this kind of contact signs in."""

    code = "passwordless_not_configured"
    default = "Sign-in without a password is not configured: set passwordless."


class UnknownProvider(NotFound):
    """No such login provider is configured."""

    code = "unknown_provider"
    default = "Login provider not found."


class InvalidState(Invalid):
    """The answer of a provider belongs to no login under way in this browser."""

    code = "invalid_state"
    default = "This login did not start in this browser, or has expired."


class ProviderRefused(Unauthenticated):
    """The provider's answer is a refusal or fails a check; ``metadata.check`` names the check."""

    code = "oidc_exchange_failed"
    default = "The login provider did not confirm the login."


class ProviderDenied(Unauthenticated):
    """The person or the provider said no; ``metadata.provider_error`` has the provider's code."""

    code = "provider_error"
    default = "The login was not completed at the provider."


class AccountExistsLinkRequired(Conflict):
    """The address belongs to an account that this login is not linked to; nothing is merged silently."""

    code = "account_exists_link_required"
    default = "An account with this address exists; sign in to it and link this login."


class InvalidAddress(Invalid):
    """The text is not the canonical base58 form of a usable Ed25519 public key."""

    code = "invalid_address"
    default = "This is not a wallet address."


class SiwsMessageInvalid(Invalid):
    """The signed message is not a well-formed sign-in message, or something of it cannot be read."""

    code = "siws_message_invalid"
    default = "The signed message is malformed."


class SiwsDomainInvalid(Invalid):
    """The domain is not one of this service's, or the message was signed for another."""

    code = "siws_domain_invalid"
    default = "The domain is not allowed."


class SiwsAddressMismatch(Invalid):
    """The account is not the one the challenge was made for."""

    code = "siws_address_mismatch"
    default = "The challenge is for another wallet."


class SiwsChallengeNotFound(Unauthenticated):
    """No challenge has the message's nonce: never issued, expired, or used."""

    code = "siws_challenge_not_found"
    default = "Challenge not found; request a new one."


class SiwsChallengeExpired(Unauthenticated):
    """The challenge is older than it may be."""

    code = "siws_challenge_expired"
    default = "The challenge has expired; request a new one."


class SiwsChallengeMismatch(Unauthenticated):
    """The signed message differs from the challenge that was issued."""

    code = "siws_challenge_mismatch"
    default = "The signed message differs from the issued one."


class SiwsTimestampInvalid(Unauthenticated):
    """A time in the message cannot be read, is over, or has not come yet."""

    code = "siws_timestamp_invalid"
    default = "The message is not valid at this time."


class SiwsSignatureInvalid(Unauthenticated):
    """The signature is not the wallet's over this message."""

    code = "siws_signature_invalid"
    default = "The signature is not valid."


class WalletAlreadyLinked(Conflict):
    """The wallet belongs to another account, or this account has another wallet."""

    code = "wallet_already_linked"
    default = "This wallet, or another one of the account, is already linked."


class ProviderUnavailable(Unavailable):
    """An external login provider cannot be asked right now."""

    code = "provider_unavailable"
    default = "The login provider cannot be reached right now."
