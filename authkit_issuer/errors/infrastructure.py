"""A part of the service is down, overloaded or switched off."""

from __future__ import annotations

from authkit_issuer.errors.base import DeliveryFailed, Limited, NotConfigured, Unavailable


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer, or the connection was lost."""

    code = "database_unavailable"
    default = "The database cannot be reached right now."


class EphemeralStoreUnavailable(Unavailable):
    """The ephemeral store did not answer."""

    code = "ephemeral_store_unavailable"
    default = "The ephemeral store cannot be reached right now."


class ServerBusy(Unavailable):
    """The password-hashing lanes are full; the caller should come back shortly."""

    code = "server_busy"
    default = "The server is busy; try again shortly."


class BreachCheckUnavailable(Unavailable):
    """The host's breach check failed or took too long, and was told to fail closed."""

    code = "breach_check_unavailable"
    default = "Passwords cannot be checked right now."


class EntitlementsUnavailable(Unavailable):
    """The host's entitlements provider failed or took too long."""

    code = "entitlements_unavailable"
    default = "Entitlements cannot be read right now."


class StorageNotConfigured(NotConfigured):
    """The call needs a database and the service was opened without one."""

    code = "storage_not_configured"
    default = "This service has no database."


class MissingSigner(NotConfigured):
    """No signing key is configured, so no token can be minted."""

    code = "missing_signer"
    default = "No signing key is configured."


class EmailUnavailable(NotConfigured):
    """No mail sender is configured."""

    code = "email_unavailable"
    default = "No mail sender is configured."


class SmsUnavailable(NotConfigured):
    """No text-message sender is configured."""

    code = "sms_unavailable"
    default = "No text-message sender is configured."


class EmailDeliveryFailed(DeliveryFailed):
    """The mail could not be handed to the mail system."""

    code = "email_delivery_failed"
    default = "The mail could not be sent."


class SmsDeliveryFailed(DeliveryFailed):
    """The text message could not be handed over."""

    code = "sms_delivery_failed"
    default = "The text message could not be sent."


class TooManyRequests(Limited):
    """A per-account or per-target limit was reached."""


class ProviderUnavailable(Unavailable):
    """An external login provider cannot be asked right now."""

    code = "provider_unavailable"
    default = "The login provider cannot be reached right now."
