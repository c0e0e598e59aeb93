"""Hear of events in your own process: a hook for convenience, a sink for what must not be missed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from authkit_issuer import AuthSessionEvent, Config, Service

Greet = Callable[[str], Awaitable[None]]


@dataclass
class Ledger:
    """A sink: every event, at least once, in order per user; raising means "later again"."""

    name: str = "ledger"
    entries: dict[int, str] = field(default_factory=dict[int, str])

    async def log_session_event(self, event: AuthSessionEvent) -> None:
        """Keep an event by its id, so that a repeat changes nothing."""
        self.entries[event.id] = event.event


async def open_service(config: Config, ledger: Ledger, greet: Greet) -> Service:
    """Return a service with both. What waits for a hook is lost with the process."""
    service = await Service.open(config, event_loggers=[ledger])

    async def welcome(event: AuthSessionEvent) -> None:
        await greet(event.user_id)

    service.on("user_created", welcome)
    return service
