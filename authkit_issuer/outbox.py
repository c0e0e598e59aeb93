"""The outbox worker: hands committed events to the sinks, at least once, in order, for as long as it takes.

One worker at a time delivers to a sink: it holds a lease that other processes respect. Delivery happens with
no connection held; rows are deleted when the sink has taken them. A sink that fails is asked again with
growing pauses and delays no other. Mails do not pass here: ``domains.base.messages`` sends them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from functools import partial

from authkit_issuer import cancellation
from authkit_issuer.errors import AuthError
from authkit_issuer.errors.causes import cause
from authkit_issuer.identifiers import new_id
from authkit_issuer.ports import AuthEventBatchLogger, AuthEventLogger
from authkit_issuer.runtime import Runtime
from authkit_issuer.store import lease
from authkit_issuer.store.event_reading import EVENT_COLUMNS, EventRow
from authkit_issuer.store.query import Query, Statement

BATCH = 100
LONGEST = 30.0
"""Seconds a sink may take for one batch."""
IDLE = 5.0
"""Seconds between two checks without a signal: other processes announce no events."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0

logger = logging.getLogger("authkit.outbox")


TAKE_LEASE = Query(
    str,
    """
    insert into profiles.event_sinks as s (sink, worker, leased_until)
    values ($1, $2, now() + $3::float8 * interval '1 second')
    on conflict (sink) do update set worker = excluded.worker, leased_until = excluded.leased_until
    where s.worker = excluded.worker or s.leased_until < now()
    returning sink
    """,
)
# A statement of its own: it must see what was committed before the lease was taken.
NEXT = Query(
    EventRow,
    f"""
    select {EVENT_COLUMNS}
    from profiles.event_outbox o join profiles.session_events e on e.id = o.event_id
    where o.sink = $1 order by o.queued_at, o.event_id limit $2
    """,
)
DELIVERED = Statement("delete from profiles.event_outbox where sink = $1 and event_id = any($2::bigint[])")
END_LEASE = Statement("update profiles.event_sinks set leased_until = now() where sink = $1 and worker = $2")


class Outbox:
    """Runs one delivery loop per sink."""

    def __init__(self, rt: Runtime, sinks: Sequence[AuthEventLogger]) -> None:
        """Take the sinks; names must differ, they are how undelivered events are kept apart."""
        self._sinks = {sink.name: sink for sink in sinks}
        if len(self._sinks) != len(sinks):
            raise ValueError("two event loggers have the same name")
        self._bells = {name: asyncio.Event() for name in self._sinks}
        self._worker = new_id(rt.random_bytes)
        self.rt = dataclasses.replace(rt, wake_outbox=self._ring)

    def start(self) -> list[asyncio.Task[None]]:
        """Start the loops; the caller cancels them."""
        return [
            asyncio.create_task(self._run(name, sink), name=f"authkit outbox {name}")
            for name, sink in self._sinks.items()
        ]

    def _ring(self) -> None:
        for bell in self._bells.values():
            bell.set()

    async def _run(self, name: str, sink: AuthEventLogger) -> None:
        pause = 0.0
        while True:
            taken: list[int] = []
            try:
                with cancellation.as_failure():
                    await self.deliver(name, sink, taken)
                pause = 0.0
            except Exception as error:  # noqa: BLE001 - whatever a host's sink raises means "not taken"
                # A sink that fails now and then, and takes events in between, does not get slower and slower.
                pause = FIRST_PAUSE if taken else min(LONGEST_PAUSE, pause * 2 or FIRST_PAUSE)
                self.rt.failures[f"sink {name}"] += 1
                logger.warning("sink %s is not taking events: %s", name, cause(error))
            if pause or len(taken) < BATCH:
                await self._rest(name, pause)

    async def _rest(self, name: str, pause: float) -> None:
        bell = self._bells[name]
        if pause:
            await asyncio.sleep(pause)
            return
        try:
            async with asyncio.timeout(IDLE):
                await bell.wait()
        except TimeoutError:
            return
        finally:
            bell.clear()

    async def deliver(self, name: str, sink: AuthEventLogger, taken: list[int] | None = None) -> int:
        """Hand over one batch and return how many events the sink took; raises what stopped it.

        ``taken`` is filled with their ids, also when something stopped it half way.
        """
        taken = [] if taken is None else taken
        asked = asyncio.get_running_loop().time()
        if not await self._lease(name):
            return 0
        queued = await self.rt.all(NEXT, name, BATCH)
        try:
            async with lease.renewed(partial(self._lease, name), asked, longest=LONGEST):
                if isinstance(sink, AuthEventBatchLogger):
                    await sink.log_session_events([row.read() for row in queued])
                    taken.extend(row.id for row in queued)
                    return len(taken)
                for row in queued:
                    await sink.log_session_event(row.read())
                    taken.append(row.id)
        finally:
            if taken:
                await self.rt.execute(DELIVERED, name, taken)
        return len(taken)

    async def _lease(self, name: str) -> bool:
        """Take the lease of a sink, or renew it; False if another worker has it."""
        return await self.rt.maybe(TAKE_LEASE, name, self._worker, lease.LEASE) is not None

    async def release(self) -> None:
        """Give the leases back, so that another process need not wait for them to end."""
        for name in self._sinks:
            try:
                await self.rt.execute(END_LEASE, name, self._worker)
            except AuthError:
                return
