"""Second factors and wallets."""

from __future__ import annotations

from authkit_issuer.errors.base import Conflict, Invalid, Unauthenticated


class TwoFactorNotEnabled(Conflict):
    """The account has no second factor switched on."""

    code = "2fa_not_enabled"
    default = "The second factor is not switched on."


class TwoFactorMethodInvalid(Invalid):
    """The method is none of those this service knows."""

    code = "2fa_method_invalid"
    default = "The second factor must be email or sms."


class TwoFactorMethodUnavailable(Conflict):
    """The method cannot reach this account: no sender, or no address or number that is its own."""

    code = "2fa_method_unavailable"
    default = "This second factor cannot be used right now."


class InvalidChallenge(Unauthenticated):
    """Unknown, expired, used, voided by wrong codes, or not this user's; sign in again."""

    code = "invalid_challenge"
    default = "The sign-in must be started again."


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
    default = "The domain is not one of this service's."


class SiwsAddressMismatch(Invalid):
    """The account is not the one the challenge was made for."""

    code = "siws_address_mismatch"
    default = "The wallet is not the one the challenge was made for."


class SiwsChallengeNotFound(Unauthenticated):
    """No challenge has the message's nonce: never issued, expired, or used."""

    code = "siws_challenge_not_found"
    default = "There is no such challenge; ask for a new one."


class SiwsChallengeExpired(Unauthenticated):
    """The challenge is older than it may be."""

    code = "siws_challenge_expired"
    default = "The challenge has expired; ask for a new one."


class SiwsChallengeMismatch(Unauthenticated):
    """The signed message differs from the challenge that was issued."""

    code = "siws_challenge_mismatch"
    default = "The signed message is not the one that was issued."


class SiwsTimestampInvalid(Unauthenticated):
    """A time in the message cannot be read, is over, or has not come yet."""

    code = "siws_timestamp_invalid"
    default = "The times of the message do not hold now."


class SiwsSignatureInvalid(Unauthenticated):
    """The signature is not the wallet's over this message."""

    code = "siws_signature_invalid"
    default = "The signature is not valid."


class WalletAlreadyLinked(Conflict):
    """The wallet belongs to another account, or this account has another wallet."""

    code = "wallet_already_linked"
    default = "The wallet, or another one of this account, is linked already."
