"""Delivers events to endpoints: at least once, in order, by one process at a time, for three days.

An endpoint is claimed with a lease, which is renewed while it is served, and no connection is held while a
message is under way. A message whose answer could not be recorded is sent again under its ``webhook-id``.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from authkit_issuer.domains.webhooks import queries as sql
from authkit_issuer.domains.webhooks.client import GONE, Outcome, WebhookClient
from authkit_issuer.domains.webhooks.message import event_body
from authkit_issuer.domains.webhooks.sending import Sending
from authkit_issuer.errors import AuthError
from authkit_issuer.errors.causes import cause
from authkit_issuer.identifiers import new_id
from authkit_issuer.runtime import Runtime
from authkit_issuer.store import lease
from authkit_issuer.store.event_reading import EVENT_COLUMNS, EventRow
from authkit_issuer.store.query import Query, Statement

# Of many processes one gets an endpoint; the others go on to the next. A process that could not give it back
# takes it again.
CLAIM = Query(
    str,
    """
    update profiles.webhook_endpoints w
    set worker = $1, leased_until = now() + $2::float8 * interval '1 second'
    where w.id = (
        select c.id from profiles.webhook_endpoints c
        where c.enabled and c.next_at <= now()
          and (c.leased_until < now() or (c.worker = $1 and c.id <> all($3::text[]::uuid[])))
          and exists (
              select from profiles.webhook_deliveries d where d.endpoint_id = c.id and d.ended_at is null
          )
        order by c.leased_until, c.id limit 1 for update skip locked
    )
    returning w.id::text
    """,
)

RENEW = Query(
    str,
    """
    update profiles.webhook_endpoints set leased_until = now() + $3::float8 * interval '1 second'
    where id = $1::uuid and worker = $2 returning id::text
    """,
)

RELEASE = Statement(
    """
    update profiles.webhook_endpoints set leased_until = '-infinity' where id = $1::uuid and worker = $2
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(EventRow):
    """An event that waits for an endpoint, and what sends it."""

    url: str
    personal: bool
    secret: bytes
    former_secret: bytes | None


# The first that waits: an endpoint receives its events in their order.
NEXT = Query(
    Waiting,
    f"""
    select {EVENT_COLUMNS}, {sql.SECRET_COLUMNS}
    from profiles.webhook_deliveries d
    join profiles.session_events e on e.id = d.event_id
    join profiles.webhook_endpoints w on w.id = d.endpoint_id
    where d.endpoint_id = $1::uuid and d.ended_at is null and w.enabled and w.worker = $2
    order by d.queued_at, d.event_id limit 1
    """,
)

DELIVERED = Statement(
    """
    update profiles.webhook_deliveries
    set attempts = attempts + 1, tried_at = now(), outcome = $3, ended_at = now()
    where endpoint_id = $1::uuid and event_id = $2
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempts at a delivery, and whether it has waited too long for another."""

    attempts: int
    late: bool


FAILED = Query(
    Failed,
    """
    update profiles.webhook_deliveries set attempts = attempts + 1, tried_at = now(), outcome = $3
    where endpoint_id = $1::uuid and event_id = $2 and ended_at is null
    returning attempts, queued_at < now() - $4::float8 * interval '1 second' as late
    """,
)

DIE = Statement(
    """
    update profiles.webhook_deliveries set ended_at = now(), dead = true
    where endpoint_id = $1::uuid and event_id = $2 and ended_at is null
    """
)

PAUSE = Statement(
    """
    update profiles.webhook_endpoints set next_at = now() + $2::float8 * interval '1 second'
    where id = $1::uuid
    """
)


PAUSES = (5.0, 60.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 86_400.0, 86_400.0)
"""Seconds before each further attempt; after the last one the event is given up."""
LONGEST = 259_200.0
"""Seconds after which an event gets no further attempt: what waited behind others that were given up."""
JITTER = 0.1
TURN = 30.0
"""Seconds after which an endpoint with more events gives its place to others."""
LONGEST_TURN = 60.0
"""Seconds after which a delivery is given up, whatever it waits for."""
IDLE = 5.0
"""Seconds between two looks without a signal: for what a process left behind that ended."""
AT_ONCE = 8
"""Endpoints that one process delivers to at a time."""
CLOSE_TIMEOUT = 5.0

logger = logging.getLogger("authkit.webhooks")


class WebhookWorker:
    """The loop of one process."""

    def __init__(self, rt: Runtime) -> None:
        """Prepare; ``run`` delivers."""
        self.rt = rt
        self.client = WebhookClient(rt.config, rt.telemetry)
        self._bell = asyncio.Event()
        self._worker = new_id(rt.random_bytes)
        self._running: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Look for events now."""
        self._bell.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            await self._rest()
            try:
                await self.claim()
            except Exception as error:  # noqa: BLE001 - an outage of the database: look again later
                logger.warning("webhooks are not delivered: %s", cause(error))

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(IDLE):
                await self._bell.wait()
        except TimeoutError:
            return
        finally:
            self._bell.clear()

    async def claim(self) -> None:
        """Start a delivery for every endpoint that is due and not another process's.

        A program that does not sign, such as a command that reads, has no key for the secrets of endpoints.
        """
        if self.rt.keys.current().signing is None:
            return
        while len(self._running) < AT_ONCE:
            asked = asyncio.get_running_loop().time()
            endpoint_id = await self.rt.maybe(CLAIM, self._worker, lease.LEASE, list(self._running))
            if endpoint_id is None:
                return
            serving = self._serve(endpoint_id, asked)
            task = asyncio.create_task(serving, name=f"authkit webhook {endpoint_id}")
            self._running[endpoint_id] = task
            task.add_done_callback(partial(self._ended, endpoint_id))

    def _ended(self, endpoint_id: str, task: asyncio.Task[None]) -> None:
        # It may have been claimed again between the release and this call.
        if self._running.get(endpoint_id) is task:
            del self._running[endpoint_id]
        # What was queued meanwhile, or an endpoint for which there was no room.
        self.wake()

    async def _serve(self, endpoint_id: str, asked: float) -> None:
        """Deliver what waits for an endpoint until it refuses, or its turn is over."""
        until = time.monotonic() + TURN
        try:
            async with lease.renewed(partial(self._renew, endpoint_id), asked, longest=LONGEST_TURN):
                while time.monotonic() < until and await self._deliver(endpoint_id):
                    pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the endpoint must not be tried in a loop
            self.rt.failures["webhooks"] += 1
            logger.warning("webhook %s: an outcome was not recorded: %s", endpoint_id, cause(error))
            await self._pause(endpoint_id)
        finally:
            await self._release(endpoint_id)

    async def _renew(self, endpoint_id: str) -> bool:
        return await self.rt.maybe(RENEW, endpoint_id, self._worker, lease.LEASE) is not None

    async def _pause(self, endpoint_id: str) -> None:
        """Let an endpoint rest after a failure that is not its receiver's."""
        with suppress(AuthError):  # without the database no process claims it either
            await self.rt.execute(PAUSE, endpoint_id, PAUSES[0])
            asyncio.get_running_loop().call_later(PAUSES[0], self.wake)

    async def _deliver(self, endpoint_id: str) -> bool:
        """Deliver the first event that waits; False if there is none or it was refused."""
        row = await self.rt.maybe(NEXT, endpoint_id, self._worker)
        if row is None:
            return False
        endpoint = sql.Secrets(
            id=endpoint_id,
            url=row.url,
            personal=row.personal,
            secret=row.secret,
            former_secret=row.former_secret,
        )
        body = event_body(row.read(), personal=row.personal)
        message_id = f"msg_{endpoint_id.replace('-', '')}_{row.id}"
        outcome = await Sending(self.rt, self.client, endpoint).send(message_id, body)
        if outcome.ok:
            await self.rt.execute(DELIVERED, endpoint_id, row.id, outcome.text)
            return True
        await self._refused(endpoint_id, row.id, outcome)
        return False

    async def _refused(self, endpoint_id: str, event_id: int, outcome: Outcome) -> None:
        self.rt.failures["webhooks"] += 1
        async with self.rt.transaction() as tx:
            failed = await tx.maybe(FAILED, endpoint_id, event_id, outcome.text, LONGEST)
            if failed is None:
                return
            logger.warning(
                "webhook %s: event %d, attempt %d: %s", endpoint_id, event_id, failed.attempts, outcome.text
            )
            pause = PAUSES[0]
            if outcome.status == GONE:
                await tx.execute(sql.SWITCH, endpoint_id, False)
                logger.error("webhook %s is disabled: its receiver says that it is gone", endpoint_id)
            elif failed.late or failed.attempts > len(PAUSES):
                await tx.execute(DIE, endpoint_id, event_id)
                logger.error("webhook %s: event %d was given up", endpoint_id, event_id)
            else:
                pause = max(PAUSES[failed.attempts - 1], outcome.retry_after)
            pause *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
            await tx.execute(PAUSE, endpoint_id, pause)
        if pause < PAUSES[1]:
            asyncio.get_running_loop().call_later(pause, self.wake)

    async def _release(self, endpoint_id: str) -> None:
        try:
            await self.rt.execute(RELEASE, endpoint_id, self._worker)
        except AuthError:
            return  # the lease ends by itself

    async def close(self) -> None:
        """Give what is under way a few seconds, then stop."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=CLOSE_TIMEOUT)
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.client.aclose()
