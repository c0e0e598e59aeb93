"""The endpoints that receive events. An operator manages them; ``worker`` delivers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.webhooks import queries as sql
from authkit_issuer.domains.webhooks.addresses import is_url
from authkit_issuer.domains.webhooks.client import Outcome, WebhookClient
from authkit_issuer.domains.webhooks.message import SECRET_BYTES, secret_text
from authkit_issuer.domains.webhooks.sending import Sending, seal_secret
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.runtime import Runtime

OVERLAP = 86_400.0
"""Seconds in which a replaced secret signs beside the new one."""
KEEP = 30 * 86_400.0
"""Seconds that the record of a delivery is kept after its end."""
_PURGE_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpoint:
    """A URL that receives events; ``events`` empty means every type."""

    id: str
    url: str
    events: tuple[str, ...]
    personal: bool
    enabled: bool
    created_at: datetime
    waiting: int
    """Events that it has not taken yet."""
    dead: int
    """Events that were given up."""
    last_outcome: str | None
    """The last answer: its status, or why there was none."""
    last_tried_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """An endpoint that was just made. Its secret is shown this once."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Manages endpoints."""

    rt: Runtime

    async def add(self, url: str, events: Sequence[str] = (), *, personal: bool = False) -> NewWebhook:
        """Send the events of these types to a URL from now on.

        Args:
            url: The receiver, by https; outside of production also by http on this machine.
            events: The types; empty for every type.
            personal: Send IP addresses, user agents, details and operators' reasons, too.

        Raises:
            Invalid: The URL or a type cannot be used.
        """
        if not is_url(self.rt.config, url):
            raise errors.Invalid(
                "The URL of a webhook must be https, without user and fragment.", param="url"
            )
        unknown = sorted(set(events) - set(SessionEventType))
        if unknown:
            raise errors.Invalid(f"There is no event type {unknown[0]}.", param="events")
        endpoint_id, secret = identifiers.new_id(self.rt.random_bytes), self._new_secret()
        sealed = seal_secret(self.rt, endpoint_id, secret)
        await self.rt.execute(sql.ADD, endpoint_id, url, sorted(set(events)), personal, sealed)
        return NewWebhook(id=endpoint_id, secret=secret_text(secret))

    async def list(self) -> list[WebhookEndpoint]:
        """Return every endpoint, oldest first."""
        return [_read(row) for row in await self.rt.all(sql.LIST)]

    async def get(self, endpoint_id: str) -> WebhookEndpoint:
        """Return one endpoint; raises ``WebhookNotFound``."""
        row = await self.rt.maybe(sql.GET, _known(endpoint_id))
        if row is None:
            raise errors.WebhookNotFound
        return _read(row)

    async def remove(self, endpoint_id: str) -> None:
        """Forget an endpoint and what waits for it; raises ``WebhookNotFound``."""
        _found(await self.rt.execute(sql.REMOVE, _known(endpoint_id)))

    async def disable(self, endpoint_id: str) -> None:
        """Send nothing more. What waits is kept; new events are not. Raises ``WebhookNotFound``."""
        _found(await self.rt.execute(sql.SWITCH, _known(endpoint_id), False))

    async def enable(self, endpoint_id: str) -> None:
        """Send again, at once; ``replay`` sends what happened meanwhile. Raises ``WebhookNotFound``."""
        _found(await self.rt.execute(sql.SWITCH, _known(endpoint_id), True))
        self.rt.wake_webhooks()

    async def rotate(self, endpoint_id: str, *, overlap: float = OVERLAP) -> NewWebhook:
        """Return a new secret. For ``overlap`` seconds both sign. Raises ``WebhookNotFound``."""
        known, secret = _known(endpoint_id), self._new_secret()
        _found(await self.rt.execute(sql.ROTATE, known, seal_secret(self.rt, known, secret), overlap))
        return NewWebhook(id=known, secret=secret_text(secret))

    async def replay(self, endpoint_id: str, *, since: datetime | None = None) -> int:
        """Send again what was given up, or every event since a time; returns how many.

        A receiver drops repeats by ``webhook-id``, which stays the same.

        Raises:
            WebhookNotFound: The endpoint does not exist.
            Invalid: ``since`` has no time zone.
        """
        known = (await self.get(endpoint_id)).id
        if since is not None and since.tzinfo is None:
            raise errors.Invalid("since needs a time zone.", param="since")
        if since is None:
            count = await self.rt.one(sql.REPLAY_DEAD, known)
        else:
            count = await self.rt.one(sql.REPLAY_SINCE, known, since)
        self.rt.wake_webhooks()
        return count

    async def test(self, endpoint_id: str) -> Outcome:
        """Send a message of the type ``test`` now, once, and return what became of it.

        Raises ``WebhookNotFound``.
        """
        endpoint = await self.rt.maybe(sql.SECRETS, _known(endpoint_id))
        if endpoint is None:
            raise errors.WebhookNotFound
        now = datetime.fromtimestamp(self.rt.clock(), UTC)
        body = msgspec.json.encode({"type": "test", "timestamp": now, "data": {}})
        client = WebhookClient(self.rt.config, self.rt.telemetry)
        try:
            return await Sending(self.rt, client, endpoint).send(f"test_{secrets.token_hex(8)}", body)
        finally:
            await client.aclose()

    async def purge(self) -> int:
        """Delete the records of deliveries that ended a month ago; returns how many."""
        return await self.rt.purge(sql.PURGE, KEEP, batch=_PURGE_BATCH)

    def _new_secret(self) -> bytes:
        return self.rt.random_bytes(SECRET_BYTES)


def _known(endpoint_id: str) -> str:
    known = identifiers.uuid_or_none(endpoint_id)
    if known is None:
        raise errors.WebhookNotFound
    return known


def _found(touched: int) -> None:
    if not touched:
        raise errors.WebhookNotFound


def _read(row: sql.EndpointRow) -> WebhookEndpoint:
    return WebhookEndpoint(
        id=row.id,
        url=row.url,
        events=tuple(row.events),
        personal=row.personal,
        enabled=row.enabled,
        created_at=row.created_at,
        waiting=row.waiting,
        dead=row.dead,
        last_outcome=row.last_outcome,
        last_tried_at=row.last_tried_at,
    )
