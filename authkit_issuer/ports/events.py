"""Sinks and readers of the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from authkit_issuer.event_types import AuthSessionEvent


class AuthEventLogger(Protocol):
    """A sink of the audit trail: called after commit, at least once per event, in order per user."""

    @property
    def name(self) -> str:
        """A stable name: undelivered events are kept under it across restarts."""
        ...

    async def log_session_event(self, event: AuthSessionEvent) -> None:
        """Take one event; raising means "not delivered, try again later"."""
        ...


@runtime_checkable
class AuthEventBatchLogger(Protocol):
    """Optional extension of a sink: takes up to a hundred events in one call, in order."""

    async def log_session_events(self, events: Sequence[AuthSessionEvent]) -> None:
        """Take them all; raising means "none delivered, try again later"."""
        ...


class AuthEventLogReader(Protocol):
    """Reads the audit trail back."""

    async def list_session_events(self, user_id: str, *event_types: str) -> list[AuthSessionEvent]:
        """Return events newest first; an empty ``user_id`` means all users."""
        ...
