"""The endpoints that receive events. An operator manages them; ``worker`` delivers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.webhooks import queries as sql
from authkit_issuer.domains.webhooks.addresses import is_url
from authkit_issuer.domains.webhooks.client import Outcome, WebhookClient
from authkit_issuer.domains.webhooks.sending import Sending, seal_secret
from authkit_issuer.errors.declared import raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.standard_webhooks import SECRET_BYTES, secret_text

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
    """Manages endpoints. Each change is an event of the audit trail; ``actor`` is the operator."""

    rt: Runtime

    @raises(errors.Invalid)
    async def add(
        self, url: str, events: Sequence[str] = (), *, personal: bool = False, actor: str | None = None
    ) -> NewWebhook:
        """Send the events of these types to a URL from now on.

        Args:
            url: The receiver, by https; outside of production also by http on this machine.
            events: The types; empty for every type.
            personal: Send IP addresses, user agents, details and operators' reasons, too.
            actor: The operator.

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
        async with self.rt.transaction() as tx:
            # Before the endpoint is there, which does not receive the event of itself.
            host = urlsplit(url).hostname
            await _record(tx, SessionEventType.WEBHOOK_ADDED, endpoint_id, actor, host=host)
            await tx.execute(sql.ADD, endpoint_id, url, sorted(set(events)), personal, sealed)
        return NewWebhook(id=endpoint_id, secret=secret_text(secret))

    async def list(self) -> list[WebhookEndpoint]:
        """Return every endpoint, oldest first."""
        return [_read(row) for row in await self.rt.all(sql.LIST)]

    @raises(errors.WebhookNotFound)
    async def get(self, endpoint_id: str) -> WebhookEndpoint:
        """Return one endpoint; raises ``WebhookNotFound``."""
        row = await self.rt.maybe(sql.GET, _known(endpoint_id))
        if row is None:
            raise errors.WebhookNotFound
        return _read(row)

    @raises(errors.WebhookNotFound)
    async def remove(self, endpoint_id: str, *, actor: str | None = None) -> None:
        """Forget an endpoint and what waits for it; raises ``WebhookNotFound``."""
        known = _known(endpoint_id)
        async with self.rt.transaction() as tx:
            # First: a transaction that writes events waits for no endpoint that another one removes.
            await _record(tx, SessionEventType.WEBHOOK_REMOVED, known, actor)
            _found(await tx.execute(sql.REMOVE, known))

    async def disable(self, endpoint_id: str, *, actor: str | None = None) -> None:
        """Send nothing more. What waits is kept; new events are not. Raises ``WebhookNotFound``."""
        known = _known(endpoint_id)
        async with self.rt.transaction() as tx:
            _found(await tx.execute(sql.SWITCH, known, False))
            await _record(tx, SessionEventType.WEBHOOK_DISABLED, known, actor)

    @raises(errors.WebhookNotFound)
    async def enable(self, endpoint_id: str, *, actor: str | None = None) -> None:
        """Send again, at once; ``replay`` sends what happened meanwhile. Raises ``WebhookNotFound``."""
        known = _known(endpoint_id)
        async with self.rt.transaction() as tx:
            await _record(tx, SessionEventType.WEBHOOK_ENABLED, known, actor)
            _found(await tx.execute(sql.SWITCH, known, True))
        self.rt.wake_webhooks()

    @raises(errors.WebhookNotFound)
    async def rotate(
        self, endpoint_id: str, *, overlap: float = OVERLAP, actor: str | None = None
    ) -> NewWebhook:
        """Return a new secret. For ``overlap`` seconds both sign. Raises ``WebhookNotFound``."""
        known, secret = _known(endpoint_id), self._new_secret()
        async with self.rt.transaction() as tx:
            _found(await tx.execute(sql.ROTATE, known, seal_secret(self.rt, known, secret), overlap))
            await _record(tx, SessionEventType.WEBHOOK_SECRET_ROTATED, known, actor)
        return NewWebhook(id=known, secret=secret_text(secret))

    @raises(errors.WebhookNotFound, errors.Invalid)
    async def replay(
        self, endpoint_id: str, *, since: datetime | None = None, actor: str | None = None
    ) -> int:
        """Send again what was given up, or every event since a time; returns how many.

        A receiver drops repeats by ``webhook-id``, which stays the same.

        Raises:
            WebhookNotFound: The endpoint does not exist.
            Invalid: ``since`` has no time zone.
        """
        known = (await self.get(endpoint_id)).id
        if since is not None and since.tzinfo is None:
            raise errors.Invalid("since needs a time zone.", param="since")
        async with self.rt.transaction() as tx:
            if since is None:
                count = await tx.one(sql.REPLAY_DEAD, known)
            else:
                count = await tx.one(sql.REPLAY_SINCE, known, since)
            await _record(tx, SessionEventType.WEBHOOK_REPLAYED, known, actor, events=count)
        self.rt.wake_webhooks()
        return count

    @raises(errors.WebhookNotFound)
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


async def _record(
    tx: Runtime, event: SessionEventType, endpoint_id: str, actor: str | None, **data: object
) -> None:
    await Events(tx).record(event, actor=actor, target=f"webhook:{endpoint_id}", data=data)


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
