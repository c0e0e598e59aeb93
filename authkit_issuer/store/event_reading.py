"""A row of the audit trail as it is read back; ``domains/audit/service.py`` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from authkit_issuer.event_types import AuthSessionEvent

EVENT_COLUMNS = """
    e.id, e.occurred_at, e.issuer, e.user_id, e.session_id, e.event, e.method, e.reason,
    host(e.ip_addr) as ip_addr, e.user_agent, e.actor, e.target, e.data::text
"""
"""The columns of :class:`EventRow` for the event ``e``."""
TO_WEBHOOKS = """
    webhooks as (
        insert into profiles.webhook_deliveries (endpoint_id, event_id)
        select w.id, event.id from event join profiles.webhook_endpoints w
        on w.enabled and (w.events = '{}' or event.type = any(w.events))
        returning 1
    )
"""
"""What queues the rows ``event`` (``id``, ``type``) for the webhooks that receive their type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """The columns as the database has them; ``data`` is JSON text."""

    id: int
    occurred_at: datetime
    issuer: str
    user_id: str
    session_id: str
    event: str
    method: str | None
    reason: str | None
    ip_addr: str | None
    user_agent: str | None
    actor: str | None
    target: str | None
    data: str

    def read(self) -> AuthSessionEvent:
        """Return the event."""
        return AuthSessionEvent(
            id=self.id,
            occurred_at=self.occurred_at,
            issuer=self.issuer,
            user_id=self.user_id,
            session_id=self.session_id,
            event=self.event,
            method=self.method,
            reason=self.reason,
            ip_addr=self.ip_addr,
            user_agent=self.user_agent,
            actor=self.actor,
            target=self.target,
            data=msgspec.json.decode(self.data),
        )
