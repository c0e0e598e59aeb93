"""A part of the service is down, overloaded or not configured."""

from __future__ import annotations

from authkit_issuer.errors.categories import NotConfigured, Unavailable


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer, or the connection was lost."""

    code = "database_unavailable"
    default = "The database cannot be reached right now."


class EphemeralStoreUnavailable(Unavailable):
    """The ephemeral store did not answer."""

    code = "ephemeral_store_unavailable"
    default = "The ephemeral store cannot be reached right now."


class ServerBusy(Unavailable):
    """The queue of the password-hashing pool is full; the caller should come back shortly."""

    code = "server_busy"
    default = "The server is busy; try again shortly."


class StorageNotConfigured(NotConfigured):
    """The call needs a database and the service was opened without one."""

    code = "storage_not_configured"
    default = "This service has no database."
