"""The bases of every refusal, and what stops a process from starting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from typing import Self


class AuthError(Exception):
    """A refusal with a stable code; ``metadata`` holds only what may be shown to the caller."""

    code: ClassVar[str] = "error"
    default: ClassVar[str] = "The request was refused."
    reason: str = ""
    """What failed and where, for logs and operators; clients never receive it."""

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Keep the safe text, the offending parameter's name and facts that may be shown."""
        super().__init__(message or self.default)
        self.param = param
        self.metadata: dict[str, object] = dict(metadata or {})

    @property
    def description(self) -> str:
        """The human sentence; safe to show, free of secrets and of the caller's input."""
        return str(self)


class Invalid(AuthError):
    """The request is malformed or breaks a rule."""

    code = "invalid_request"
    default = "The request is malformed."


class Unauthenticated(AuthError):
    """The credential does not prove who the caller is."""

    code = "invalid_credentials"
    default = "The credentials are wrong."
    about: str = ""
    """The id of the account, for the audit trail alone; the refused client never learns it."""


class Denied(AuthError):
    """The caller is known and may not do this."""

    code = "forbidden"
    default = "This is not allowed."


class NotFound(AuthError):
    """The thing named does not exist."""

    code = "not_found"
    default = "Not found."


class Conflict(AuthError):
    """The state of something else stands in the way."""

    code = "conflict"
    default = "This conflicts with existing data."


class NotConfigured(AuthError):
    """The deployment has not switched this on."""

    code = "not_configured"
    default = "This is not configured."


class DeliveryFailed(AuthError):
    """A mail or SMS could not be handed over."""

    code = "delivery_failed"
    default = "The message could not be sent."


class _Retryable(AuthError):
    """A refusal that says when to come back; ``retry_after`` is in seconds."""

    def __init__(self, message: str | None = None, *, retry_after: float = 1.0) -> None:
        """Keep the number of seconds after which trying again makes sense."""
        super().__init__(message)
        self.retry_after = retry_after


class Limited(_Retryable):
    """Too often; ``retry_after`` seconds from now it may work again."""

    code = "too_many_requests"
    default = "Too many requests."


class Unavailable(_Retryable):
    """A part of the service is down or overloaded; nothing was decided about the caller."""

    code = "unavailable"
    default = "The service is unavailable right now."
    cause: str = "unreachable"
    """A word for what is wrong with the part, such as ``read_only``; readiness probes show it."""

    def because(self, reason: str) -> Self:
        """Return the error with its reason."""
        self.reason = reason
        return self


class ConfigError(ValueError):
    """The configuration cannot work; the message is one sentence that names the setting."""


class StartupError(RuntimeError):
    """The process cannot start; the message is one plain sentence for the operator."""


class OrgModeDowngradeRefused(StartupError):
    """The service would read organizations that several people share as if there were none."""

    code: ClassVar[str] = "org_mode_downgrade_refused"


class NotJoinable(RuntimeError):
    """A transaction cannot do this: what leaves a mark when it refuses, or what would not be atomic."""
