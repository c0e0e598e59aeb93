"""The message of an event."""

from __future__ import annotations

import msgspec

from authkit_issuer.event_types import AuthSessionEvent


def event_body(event: AuthSessionEvent, *, personal: bool) -> bytes:
    """Return the body of an event; unless ``personal``, of its ``impersonal`` form."""
    data = msgspec.to_builtins(event if personal else event.impersonal())
    kind, moment = data.pop("event"), data.pop("occurred_at")
    return msgspec.json.encode({"type": kind, "timestamp": moment, "data": data})
