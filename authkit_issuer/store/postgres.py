"""The PostgreSQL pool: queries on whichever connection is free, and transactions."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from authkit_issuer import errors
from authkit_issuer.store.address import place
from authkit_issuer.store.connecting import Connector, WatchedConnection
from authkit_issuer.store.connection import (
    NO_PREPARED_STATEMENTS,
    Connection,
    ConnectionStore,
    Store,
    translated,
)
from authkit_issuer.store.lock_waits import LockWaits
from authkit_issuer.store.query import Query
from authkit_issuer.store.repetition import ISOLATION, RepeatedStore, gave_up, pause

Row = TypeVar("Row")
Result = TypeVar("Result")
Ask = Callable[[Store], Awaitable[Result]]
"""Runs one statement."""
if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool  # generic for type checkers only

ACQUIRE_TIMEOUT = 2.0
"""Seconds to wait for a free connection before answering that the database is unavailable."""
_STALE = (TimeoutError, asyncpg.ReadOnlySQLTransactionError)
"""What a connection answers, or does not, whose server is not the one that it should be."""
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    OSError,
)
"""What a connection answers whose server has ended it."""

logger = logging.getLogger("authkit.database")


async def open_pool(connector: Connector, *, min_size: int = 1, max_size: int = 16) -> Pool:
    """Connect; raises ``DatabaseUnavailable`` when no host answers in time."""
    with translated(place(connector.dsn)):
        pool: Pool = await asyncpg.create_pool(
            min_size=min(min_size, max_size),
            max_size=max_size,
            connect=connector.pooled,
            connection_class=WatchedConnection,
            reset=_reset_if_dirty,
        )
    return pool


async def _reset_if_dirty(connection: Connection) -> None:
    """Spare the reset query that asyncpg sends on every release.

    Sound because no code here sets session state (a test reads all SQL for it); what can be left behind is
    an open transaction, when its task was cancelled at the wrong moment.
    """
    if connection.is_in_transaction():
        await connection.reset()


class PoolStore:
    """Queries on whichever pooled connection is free."""

    __slots__ = ("_connector", "_pool", "_schema", "_waits")

    def __init__(self, pool: Pool, schema: str, connector: Connector | None = None) -> None:
        """Take an open pool, which its owner closes, and what opens its connections unless a host does."""
        self._pool = pool
        self._schema = schema
        self._connector = connector
        self._waits = LockWaits(most=max(1, pool.get_max_size() // 2))

    async def fetch(self, query: Query[Row], args: tuple[object, ...]) -> list[Row]:
        """See ``Store``."""
        return await self._run(lambda store: store.fetch(query, args))

    async def fetch_one(self, query: Query[Row], args: tuple[object, ...]) -> Row | None:
        """See ``Store``."""
        return await self._run(lambda store: store.fetch_one(query, args))

    async def execute(self, query: Query[Any], args: tuple[object, ...]) -> int:
        """See ``Store``."""
        return await self._run(lambda store: store.execute(query, args))

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Store, None]:
        """Take a connection and open a transaction on it."""
        connection, transaction = await self._begun()
        async with (
            _Held(self, connection),
            RepeatedStore(connection, self._schema, self._waits).until_commit(transaction) as store,
        ):
            yield store

    async def _run(self, ask: Ask[Result]) -> Result:
        """Run one statement, again if the server gave it up or never knew it.

        What it gave up runs again in a transaction: the default of the database may be stricter than the
        isolation that the statement was written for, and then each of a crowd gives up most others.
        """
        run, repetitions = self._run_alone, 0
        while True:
            try:
                return await run(ask)
            except errors.DatabaseUnavailable as error:
                conflict = gave_up(error)
                unknown = isinstance(error.__cause__, NO_PREPARED_STATEMENTS)
                if not (conflict or unknown) or not await pause(repetitions):
                    raise
                run = self._run_in_transaction if conflict else run
            repetitions += 1

    async def _run_alone(self, ask: Ask[Result]) -> Result:
        connection = await self._acquired()
        async with _Held(self, connection):
            return await ask(ConnectionStore(connection, self._schema, self._waits))

    async def _run_in_transaction(self, ask: Ask[Result]) -> Result:
        async with self.begin() as store:
            return await ask(store)

    async def _begun(self) -> tuple[Connection, Any]:
        """Return a connection and the transaction that is open on it.

        A connection that the server ended unseen is replaced once: nothing has happened on it yet.
        """
        for is_last in (False, True):
            connection = await self._acquired()
            transaction = connection.transaction(isolation=ISOLATION)
            try:
                async with _Held(self, connection, keep=True):
                    with translated():
                        await transaction.start()
            except errors.DatabaseUnavailable as error:
                if is_last or not isinstance(error.__cause__, _LOST):
                    raise
                await self.renew()
            else:
                return connection, transaction
        raise AssertionError

    async def release(self, connection: Connection, cause: BaseException | None) -> None:
        """Give a connection back, after a failure with its cause."""
        try:
            if isinstance(cause, errors.DatabaseUnavailable):
                await self._leave(connection, cause.__cause__)
        finally:
            # Shielded by asyncpg itself; a cancelled caller still gives the connection back.
            with translated():
                await self._pool.release(connection)

    async def _leave(self, connection: Connection, cause: BaseException | None) -> None:
        """Use no connection again that would fail the next caller, too."""
        if isinstance(cause, asyncpg.DiskFullError) and self._connector is not None:
            self._connector.full_at = time.monotonic()
        if isinstance(cause, NO_PREPARED_STATEMENTS):
            if not self._forgets_statements():
                return
        elif not isinstance(cause, _STALE):
            return
        connection.terminate()
        await self.renew()

    def suspect(self) -> None:
        """Look whether the server is still there, beside the requests."""
        if self._connector is not None:
            self._connector.suspect(lambda: self._waits.answered_at)

    async def renew(self) -> None:
        """Open connections anew before their next use: the address may lead to another server by now."""
        await self._pool.expire_connections()

    def _forgets_statements(self) -> bool:
        """True if new connections keep no prepared statements; says so once."""
        if self._connector is None or self._connector.statement_cache:
            logger.error(
                "the database lost a prepared statement: behind a connection pooler in transaction mode, set "
                "database_statement_cache (AUTHKIT_DATABASE_STATEMENT_CACHE) to false, or let the pooler "
                "keep prepared statements (PgBouncer: max_prepared_statements)"
            )
        if self._connector is not None:
            self._connector.statement_cache = False
        return self._connector is not None

    async def _acquired(self) -> Connection:
        with translated():
            try:
                return await self._pool.acquire(timeout=ACQUIRE_TIMEOUT)
            except TimeoutError:
                self.suspect()
                raise


class _Held:
    """Releases the connection at the end of a block; with ``keep``, only after a failure."""

    __slots__ = ("_connection", "_keep", "_store")

    def __init__(self, store: PoolStore, connection: Connection, *, keep: bool = False) -> None:
        self._store, self._connection, self._keep = store, connection, keep

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None or not self._keep:
            await self._store.release(self._connection, error)


class NoStore:
    """Stands in for the database of a service that was opened without one: every call refuses."""

    async def fetch(self, query: Query[Row], args: tuple[object, ...]) -> list[Row]:  # noqa: ARG002 - the port
        """Refuse."""
        raise errors.StorageNotConfigured

    async def fetch_one(self, query: Query[Row], args: tuple[object, ...]) -> Row | None:  # noqa: ARG002
        """Refuse."""
        raise errors.StorageNotConfigured

    async def execute(self, query: Query[Any], args: tuple[object, ...]) -> int:  # noqa: ARG002
        """Refuse."""
        raise errors.StorageNotConfigured

    def begin(self) -> AbstractAsyncContextManager[Store]:
        """Refuse."""
        raise errors.StorageNotConfigured
