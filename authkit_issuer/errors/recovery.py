"""Recovery by the user."""

from __future__ import annotations

from authkit_issuer.errors.categories import Conflict, NotConfigured, NotFound


class RecoveryNotConfigured(NotConfigured):
    """The deployment has no recovery by the user."""

    code = "recovery_not_configured"
    default = "Recovery is not configured: set recovery_delay."


class RecoveryUnavailable(Conflict):
    """No notice can be sent to a verified contact of the account, so that its owner could not cancel."""

    code = "recovery_unavailable"
    default = "This account has no verified contact for the notices of a recovery; ask the support."


class RecoveryNotFound(NotFound):
    """No recovery of the account is open: none was started, or it was cancelled or has ended."""

    code = "recovery_not_found"
    default = "There is no open recovery of this account."


class RecoveryNotReady(Conflict):
    """The wait is not over, as ``metadata`` says, or its daily notices did not go out (``maintain``)."""

    code = "recovery_not_ready"
    default = "The wait of this recovery is not over."
