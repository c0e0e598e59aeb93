"""The PostgreSQL pool, and the one place where driver errors become errors of ours.

The name of the constraint decides what a unique violation means; anything that means "the server did not
answer" becomes ``DatabaseUnavailable``. Everything else is a defect and passes through.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import asyncpg

from authkit_issuer import errors
from authkit_issuer.store.address import place
from authkit_issuer.store.connecting import Connector, WatchedConnection
from authkit_issuer.store.query import Query

Row = TypeVar("Row")
if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool  # generic for type checkers only
Connection = Any  # a pooled proxy or a plain connection: asyncpg gives the two no common type

ACQUIRE_TIMEOUT = 2.0
"""Seconds to wait for a free connection before answering that the database is unavailable."""

_TAKEN: dict[str, type[errors.AuthError]] = {
    "users_pkey": errors.Conflict,
    "users_email_uidx": errors.EmailInUse,
    "users_username_uidx": errors.UsernameInUse,
    "users_phone_uidx": errors.PhoneInUse,
    "names_pkey": errors.OwnerSlugTaken,
    "orgs_slug_key": errors.OwnerSlugTaken,
}
_DOWN = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
    # The role lost its login, its password or its database: the operator has to act, not the caller.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    # Losers of a deadlock or serialization conflict did nothing: the caller may simply try again.
    asyncpg.TransactionRollbackError,
    # What asyncpg says of a connection whose server has said farewell but has not hung up yet.
    asyncpg.InternalClientError,
)
_STALE = (TimeoutError, asyncpg.ReadOnlySQLTransactionError)
"""What a connection answers, or does not, whose server is not the one that it should be."""
_NO_PREPARED_STATEMENTS = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""What a connection pooler in transaction mode answers: it gives each transaction any server connection."""

logger = logging.getLogger("authkit.database")


@contextmanager
def translated(where: str = "PostgreSQL") -> Generator[None, None, None]:
    """Turn driver errors raised inside into errors of ours; ``where`` begins their reason.

    The others lose the detail that the server adds: it quotes the row, and their text goes to the log.
    """
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        error.detail = None
        taken = _TAKEN.get(error.constraint_name or "")
        if taken is None:
            raise
        raise taken from error
    except _NO_PREPARED_STATEMENTS as error:
        logger.error(  # noqa: TRY400 - the sentence says it all
            "the database lost a prepared statement: behind a connection pooler in transaction mode, set "
            "database_statement_cache (AUTHKIT_DATABASE_STATEMENT_CACHE) to false, or let the pooler keep "
            "prepared statements (PgBouncer: max_prepared_statements)"
        )
        raise errors.DatabaseUnavailable().because(f"{where}: {error}") from error
    except _DOWN as error:
        raise errors.DatabaseUnavailable().because(f"{where}: {_cause(error)}") from error
    except asyncpg.InterfaceError as error:
        if not _is_gone(error):
            raise
        raise errors.DatabaseUnavailable().because(f"{where}: {error}") from error
    except asyncpg.PostgresError as error:
        error.detail = None
        raise


def _cause(error: BaseException) -> str:
    """Return what the server or the network said; asyncpg's text of a failed connection has no cause."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error).partition("\n")[0] or "no answer in time"


def _is_gone(error: asyncpg.InterfaceError) -> bool:
    """Tell a connection or pool that went away from a defect such as two tasks on one connection.

    asyncpg raises the same class for both; only the text differs. A connection that the server ended counts
    as released at once, in the middle of the block that holds it.
    """
    text = str(error)
    return "clos" in text or "released back to the pool" in text


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


class Store(Protocol):
    """Runs queries, either on any pooled connection or on the one that holds a transaction."""

    async def fetch(self, query: Query[Row], args: tuple[object, ...]) -> list[Row]:
        """Return all rows."""
        ...

    async def fetch_one(self, query: Query[Row], args: tuple[object, ...]) -> Row | None:
        """Return the first row or None."""
        ...

    async def execute(self, query: Query[Any], args: tuple[object, ...]) -> int:
        """Run a statement and return the number of rows it touched."""
        ...

    def begin(self) -> AbstractAsyncContextManager[Store]:
        """Open a transaction, or a savepoint inside one."""
        ...


class ConnectionStore:
    """Queries on one connection, which holds a transaction."""

    __slots__ = ("_schema", "connection")

    def __init__(self, connection: Connection, schema: str) -> None:
        """Take a connection whose owner opens and closes it."""
        self.connection = connection
        self._schema = schema

    async def fetch(self, query: Query[Row], args: tuple[object, ...]) -> list[Row]:
        """See ``Store``."""
        with translated():
            records = await self.connection.fetch(query.text(self._schema), *args)
        return [query.build(record) for record in records]

    async def fetch_one(self, query: Query[Row], args: tuple[object, ...]) -> Row | None:
        """See ``Store``."""
        with translated():
            record = await self.connection.fetchrow(query.text(self._schema), *args)
        return None if record is None else query.build(record)

    async def execute(self, query: Query[Any], args: tuple[object, ...]) -> int:
        """See ``Store``."""
        with translated():
            status: str = await self.connection.execute(query.text(self._schema), *args)
        return _touched(status)

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Store, None]:
        """Open a transaction on this connection; inside one it is a savepoint."""
        transaction = self.connection.transaction()
        with translated():
            await transaction.start()
        try:
            yield self
        except BaseException:
            await self._roll_back(transaction)
            raise
        with translated():
            await transaction.commit()

    async def _roll_back(self, transaction: Any) -> None:
        """Roll back unless the connection is gone, in which case the server has already done it."""
        with suppress(errors.DatabaseUnavailable):
            with translated():
                if not self.connection.is_closed():
                    await transaction.rollback()
            return
        # What brought us here is the error to report. A connection that cannot even roll back is of no more
        # use to anybody; without it the server rolls back by itself.
        with suppress(asyncpg.InterfaceError):
            self.connection.terminate()


class PoolStore:
    """Queries on whichever pooled connection is free."""

    __slots__ = ("_connector", "_pool", "_schema")

    def __init__(self, pool: Pool, schema: str, connector: Connector | None = None) -> None:
        """Take an open pool, which its owner closes, and what opens its connections unless a host does."""
        self._pool = pool
        self._schema = schema
        self._connector = connector

    async def fetch(self, query: Query[Row], args: tuple[object, ...]) -> list[Row]:
        """See ``Store``."""
        async with self._connection() as connection:
            return await ConnectionStore(connection, self._schema).fetch(query, args)

    async def fetch_one(self, query: Query[Row], args: tuple[object, ...]) -> Row | None:
        """See ``Store``."""
        async with self._connection() as connection:
            return await ConnectionStore(connection, self._schema).fetch_one(query, args)

    async def execute(self, query: Query[Any], args: tuple[object, ...]) -> int:
        """See ``Store``."""
        async with self._connection() as connection:
            return await ConnectionStore(connection, self._schema).execute(query, args)

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Store, None]:
        """Take a connection and open a transaction on it."""
        async with (
            self._connection() as connection,
            ConnectionStore(connection, self._schema).begin() as store,
        ):
            yield store

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection, None]:
        with translated():
            connection = await self._acquire()
        try:
            yield connection
        except errors.DatabaseUnavailable as error:
            await self._leave(connection, error.__cause__)
            raise
        finally:
            # Shielded by asyncpg itself; a cancelled caller still gives the connection back.
            with translated():
                await self._pool.release(connection)

    async def _leave(self, connection: Connection, cause: BaseException | None) -> None:
        """Use no connection again that would fail the next caller, too."""
        if isinstance(cause, _NO_PREPARED_STATEMENTS) and self._connector is not None:
            self._connector.statement_cache = False
        elif not isinstance(cause, _STALE):
            return
        # The others begin anew, too: the address may lead to another server by now.
        connection.terminate()
        await self._pool.expire_connections()

    async def _acquire(self) -> Connection:
        try:
            return await self._pool.acquire(timeout=ACQUIRE_TIMEOUT)
        except TimeoutError:
            if self._connector is not None:
                self._connector.suspect()
            raise


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


def _touched(status: str) -> int:
    """Read the row count from a command tag such as ``UPDATE 3``; commands without one count as zero."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


async def healthy(pool: Pool) -> bool:
    """True if the server answers within the acquire timeout."""
    try:
        async with asyncio.timeout(ACQUIRE_TIMEOUT), pool.acquire() as connection:
            await connection.fetchval("select 1")
    except (*_DOWN, *_NO_PREPARED_STATEMENTS, asyncpg.InterfaceError):
        return False
    return True
