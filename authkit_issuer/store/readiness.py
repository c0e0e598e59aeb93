"""Whether the database takes what requests need: an answer in time, from a server that writes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from authkit_issuer.errors import DatabaseUnavailable, StartupError
from authkit_issuer.store.connecting import Connector
from authkit_issuer.store.connection import Store
from authkit_issuer.store.postgres import PoolStore
from authkit_issuer.store.query import Query, Statement

T = TypeVar("T")

TIMEOUT = 1.8
"""Seconds that the database has for the answer: a probe waits for two."""
SILENT = f"PostgreSQL: no answer in {TIMEOUT:g} s"
WRITE_INTERVAL = 1.0
"""Seconds between two writes of one process; another process may have written meanwhile."""
FULL_FOR = 3.0
"""Seconds after which a full disk is forgotten that a request met."""
CLOCK_WARNING, CLOCK_LIMIT = 30.0, 300.0
"""Seconds that the clock of this machine may differ from the database's, before a warning and at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """The role of the server, and the time of its clock in Unix seconds."""

    standby: bool
    read_only: bool
    now: float


FACTS = Query(
    ServerFacts,
    """
    select pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as read_only,
           extract(epoch from clock_timestamp())::float8 as now
    """,
)
# A row that another process holds is one that it writes.
WRITE = Statement(
    """
    with due as (
        select r.is_only from profiles.readiness r where r.written_at < now() - interval '1 second'
        for update skip locked
    )
    update profiles.readiness r set written_at = now() from due where r.is_only = due.is_only
    """
)
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (asyncpg.ReadOnlySQLTransactionError, "read_only"),
    (asyncpg.DiskFullError, "disk_full"),
    (asyncpg.TooManyConnectionsError, "too_many_connections"),
    (asyncpg.InsufficientPrivilegeError, "not_allowed"),
    (asyncpg.InvalidAuthorizationSpecificationError, "not_allowed"),
)
logger = logging.getLogger("authkit.database")


class DatabaseReadiness:
    """Asks the database of one pool."""

    def __init__(self, store: PoolStore, connector: Connector | None) -> None:
        """Take the store, and what opens its connections unless a host does."""
        self._store = store
        self._connector = connector
        self._written = -WRITE_INTERVAL

    async def problem(self) -> DatabaseUnavailable | None:
        """Return what is wrong, with a word as its ``cause``; None if all is well."""
        if self._connector is not None and time.monotonic() - self._connector.full_at < FULL_FOR:
            return _problem("disk_full", "PostgreSQL: a request found no space left")
        try:
            return await in_time(self._examined())
        except TimeoutError:
            self._store.suspect()
            return _problem("unreachable", SILENT)
        except DatabaseUnavailable as error:
            words = (word for kind, word in _WORDS if isinstance(error.__cause__, kind))
            error.cause = next(words, error.cause)
            return error

    async def _examined(self) -> DatabaseUnavailable | None:
        facts = await self._store.fetch_one(FACTS, ())
        if facts is not None and facts.standby:
            await self._store.renew()
            return _problem("standby", "PostgreSQL: the server is a standby")
        if time.monotonic() - self._written >= WRITE_INTERVAL:
            await self._store.execute(WRITE, ())
            self._written = time.monotonic()
        elif facts is not None and facts.read_only:
            return _problem("read_only", "PostgreSQL: transactions are read-only")
        return None

    async def compare_clocks(self, clock: Callable[[], float]) -> float:
        """Return how many seconds this clock is ahead of the database's; logs a difference of half a minute.

        Raises:
            DatabaseUnavailable: The database does not answer.
        """
        difference = await clock_difference(self._store, clock)
        if abs(difference) > CLOCK_WARNING:
            logger.warning(
                "the clock of this machine is %+.0f s from the database's: tokens and codes may be refused "
                "elsewhere; synchronize both by NTP",
                difference,
            )
        return difference

    async def refuse_wrong_clock(self, clock: Callable[[], float]) -> None:
        """Raise ``StartupError`` if the clock is more than five minutes from the database's."""
        difference = await self.compare_clocks(clock)
        if abs(difference) > CLOCK_LIMIT:
            raise StartupError(
                f"The clock of this machine is {difference:+.0f} s from the database's: tokens would be "
                "refused; synchronize both by NTP."
            )


async def clock_difference(store: Store, clock: Callable[[], float]) -> float:
    """Return how many seconds a clock is ahead of the database's; raises ``DatabaseUnavailable``."""
    before = clock()
    facts = await store.fetch_one(FACTS, ())
    if facts is None:
        raise LookupError("the query returned no row")
    return (before + clock()) / 2 - facts.now


async def in_time(question: Coroutine[Any, Any, T]) -> T:
    """Return the answer to a question; ``TimeoutError`` if the database does not give it in ``TIMEOUT``."""
    # A task of its own: what is cancelled waits for the server once more.
    task = asyncio.create_task(question, name="authkit readiness")
    try:
        await asyncio.wait({task}, timeout=TIMEOUT)
    finally:
        ended = task.done()
        if not ended:
            task.cancel()
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
    if not ended:
        raise TimeoutError
    return task.result()


def _problem(cause: str, reason: str) -> DatabaseUnavailable:
    found = DatabaseUnavailable().because(reason)
    found.cause = cause
    return found
