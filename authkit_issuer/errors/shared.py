"""Refusals of several domains: one-time codes, messages, entitlements, limits."""

from __future__ import annotations

from authkit_issuer.errors.categories import DeliveryFailed, Invalid, Limited, NotConfigured, Unavailable


class InvalidOrExpiredCode(Invalid):
    """Wrong, expired, used, or not this caller's code: the cases cannot be told apart."""

    code = "invalid_or_expired_code"
    default = "The code is wrong or has expired."


class InvalidOrExpiredToken(Invalid):
    """Wrong, expired or used link token."""

    code = "invalid_or_expired_token"
    default = "The link is not valid or has expired."


class EntitlementsUnavailable(Unavailable):
    """The host's entitlements provider failed or took too long."""

    code = "entitlements_unavailable"
    default = "Entitlements cannot be read right now."


class EmailUnavailable(NotConfigured):
    """No mail sender is configured."""

    code = "email_unavailable"
    default = "No mail sender is configured."


class SmsUnavailable(NotConfigured):
    """No SMS sender is configured."""

    code = "sms_unavailable"
    default = "No SMS sender is configured."


class EmailDeliveryFailed(DeliveryFailed):
    """The mail could not be handed to the mail system."""

    code = "email_delivery_failed"
    default = "The mail could not be sent."


class SmsDeliveryFailed(DeliveryFailed):
    """The SMS could not be handed over."""

    code = "sms_delivery_failed"
    default = "The SMS could not be sent."


class TooManyRequests(Limited):
    """A per-account or per-target limit was reached."""
