"""Numbers that change by themselves, read every ten seconds: the pool, the queues, the clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from authkit_issuer.details import VERSION
from authkit_issuer.errors import AuthError
from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.measured import Statements
from authkit_issuer.store.postgres import Pool
from authkit_issuer.store.query import Query
from authkit_issuer.store.readiness import clock_difference
from authkit_issuer.telemetry import measurements as names

INTERVAL = 10.0
"""Seconds between two samples."""
MOST = 100_000
"""Waiting events that are counted: beyond it the age says more."""

logger = logging.getLogger("authkit.telemetry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What waits, and the age of its oldest event in seconds."""

    events: int
    age: float


OUTBOX = Query(
    Queue,
    """
    select (select count(*)::int from (select from profiles.event_outbox where sink = $1 limit $2) q)
            as events,
        coalesce((
            select extract(epoch from now() - e.occurred_at)::float8
            from profiles.event_outbox o join profiles.session_events e on e.id = o.event_id
            where o.sink = $1 order by o.queued_at, o.event_id limit 1
        ), 0) as age
    """,
)
WEBHOOKS = Query(
    Queue,
    """
    select (
            select count(*)::int
            from (select from profiles.webhook_deliveries where ended_at is null limit $1) q
        ) as events,
        coalesce((
            select extract(epoch from now() - min(queued_at))::float8
            from (select queued_at from profiles.webhook_deliveries where ended_at is null limit $1) d
        ), 0) as age
    """,
)


class Sampling:
    """Reads the numbers of one service into its telemetry."""

    def __init__(self, rt: Runtime, telemetry: Telemetry, pool: Pool | None, statements: Statements) -> None:
        """Take what is read: the Runtime, its pool, and what counts the callers that wait for it."""
        self._rt = rt
        self._telemetry = telemetry
        self._pool = pool
        self._statements = statements
        self._before: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            try:
                await self.sample()
            except Exception:
                logger.exception("numbers were not read")
            await asyncio.sleep(INTERVAL)

    async def sample(self) -> None:
        """Read everything once; what the database cannot say now keeps its value."""
        self._of_process()
        if self._pool is None:
            return
        with suppress(AuthError):
            await self._of_database()

    def _of_process(self) -> None:
        gauge, load = self._telemetry.gauge, self._rt.hasher.load
        gauge(names.PROCESSES.name, 1)
        gauge(names.BUILD.name, 1, version=VERSION)
        gauge(names.HASHING_RUNNING.name, load.running)
        gauge(names.HASHING_WAITING.name, load.waiting)
        gauge(names.HASHING_THREADS.name, load.lanes)
        self._count(names.HASHING_COMPUTED, {"": load.computed})
        self._count(names.HASHING_REFUSED, {"": load.refused})
        self._count(names.HASHING_WAITED, {"": load.waited})
        self._count(names.HOST_FAILURES, {**self._rt.failures, **self._rt.hooks.failures}, "part")
        self._count(names.BACKGROUND_FAILURES, self._rt.background.failed, "work")
        if self._pool is not None:
            opened, idle = self._pool.get_size(), self._pool.get_idle_size()
            gauge(names.POOL_OPEN.name, opened)
            gauge(names.POOL_USED.name, opened - idle)
            gauge(names.POOL_MOST.name, self._pool.get_max_size())
            gauge(names.POOL_WAITING.name, self._statements.waiting)

    async def _of_database(self) -> None:
        rt, gauge = self._rt, self._telemetry.gauge
        gauge(names.CLOCK_AHEAD.name, abs(await clock_difference(rt.store, rt.clock)))
        for sink in rt.sinks:
            queue = await rt.one(OUTBOX, sink, MOST)
            gauge(names.OUTBOX_WAITING.name, queue.events, sink=sink)
            gauge(names.OUTBOX_AGE.name, queue.age, sink=sink)
        queue = await rt.one(WEBHOOKS, MOST)
        gauge(names.WEBHOOKS_WAITING.name, queue.events)
        gauge(names.WEBHOOKS_AGE.name, queue.age)

    def _count(
        self, measurement: names.Measurement, current: Mapping[str, float], label: str | None = None
    ) -> None:
        """Count what was added since the last sample."""
        for value, total in current.items():
            key = (measurement.name, value)
            labels = {label: value} if label else {}
            self._telemetry.count(measurement.name, total - self._before.get(key, 0.0), **labels)
            self._before[key] = total
