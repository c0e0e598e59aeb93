"""The audit trail as a structured log."""

from __future__ import annotations

import logging

import msgspec

from authkit_issuer.event_types import AuthSessionEvent


class LogEventLogger:
    """An ``AuthEventLogger`` over the standard library's logging: one record per event.

    The message is the event as one line of JSON, so that any handler keeps all of it; control characters are
    escaped, and client input cannot end the line. ``record.auth_event`` is the same as a dict, for
    structured handlers. Events contain no credentials: no password, code or token. They do contain
    IP addresses, user agents, details and operators' reasons; ``personal=False`` omits those.

    An event is delivered once logging has it. A handler that fails reports that to logging, not here.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        level: int = logging.INFO,
        personal: bool = True,
        name: str = "log",
    ) -> None:
        """Log to ``logger``, by default ``authkit.events``; ``name`` identifies this sink in the outbox."""
        self.name = name
        self._logger = logger or logging.getLogger("authkit.events")
        self._level = level
        self._personal = personal

    async def log_session_event(self, event: AuthSessionEvent) -> None:
        """See ``AuthEventLogger``."""
        record = msgspec.to_builtins(event if self._personal else event.impersonal())
        message = msgspec.json.encode(record).decode()
        self._logger.log(self._level, "%s", message, extra={"auth_event": record})
