"""A connection to PostgreSQL, and the one place where driver errors become errors of ours.

The name of the constraint decides what a unique violation means; anything that means "the server did not
answer" becomes ``DatabaseUnavailable``. Everything else is a defect and passes through.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Protocol, TypeVar

import asyncpg

from authkit_issuer import errors
from authkit_issuer.store.lock_waits import LockWaits
from authkit_issuer.store.query import Query

Row = TypeVar("Row")
Connection = Any  # a pooled proxy or a plain connection: asyncpg gives the two no common type

_TAKEN: dict[str, type[errors.AuthError]] = {
    "users_pkey": errors.Conflict,
    "users_email_uidx": errors.EmailInUse,
    "users_username_uidx": errors.UsernameInUse,
    "users_phone_uidx": errors.PhoneInUse,
    "names_pkey": errors.OwnerSlugTaken,
    "orgs_slug_key": errors.OwnerSlugTaken,
}
NO_PREPARED_STATEMENTS = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""What a connection pooler in transaction mode answers: it gives each transaction any server connection."""
DOWN = (
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
    # Others hold the lock for longer than lock_timeout.
    asyncpg.LockNotAvailableError,
    # Behind a connection pooler in transaction mode; and a plan that is older than a change of the schema.
    *NO_PREPARED_STATEMENTS,
    asyncpg.InvalidCachedStatementError,
    # What asyncpg says of a connection whose server has said farewell but has not hung up yet.
    asyncpg.InternalClientError,
)


class translated:  # noqa: N801 - used like a function
    """Turns driver errors raised inside into errors of ours; ``where`` begins their reason.

    The others lose the detail that the server adds: it quotes the row, and their text goes to the log.
    """

    __slots__ = ("_where",)

    def __init__(self, where: str = "PostgreSQL") -> None:
        """Take what the reasons begin with."""
        self._where = where

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise the error of ours, if there is one for what was raised."""
        if error is not None:
            _translate(error, self._where)


def _translate(error: BaseException, where: str) -> None:
    if isinstance(error, asyncpg.UniqueViolationError):
        error.detail = None
        taken = _TAKEN.get(error.constraint_name or "")
        if taken is not None:
            raise taken from error
    elif isinstance(error, DOWN):
        raise errors.DatabaseUnavailable().because(f"{where}: {_cause(error)}") from error
    elif isinstance(error, asyncpg.InterfaceError):
        if is_gone(error):
            raise errors.DatabaseUnavailable().because(f"{where}: {error}") from error
    elif isinstance(error, asyncpg.PostgresError):
        error.detail = None


def _cause(error: BaseException) -> str:
    """Return what the server or the network said; asyncpg's text of a failed connection has no cause."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error).partition("\n")[0] or "no answer in time"


def is_gone(error: asyncpg.InterfaceError) -> bool:
    """Tell a connection or pool that went away from a defect such as two tasks on one connection.

    asyncpg raises the same class for both; only the text differs. A connection that the server ended counts
    as released at once, in the middle of the block that holds it.
    """
    text = str(error)
    return "clos" in text or "released back to the pool" in text


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

    __slots__ = ("_schema", "_waits", "connection")

    def __init__(self, connection: Connection, schema: str, waits: LockWaits) -> None:
        """Take a connection whose owner opens and closes it."""
        self.connection = connection
        self._schema = schema
        self._waits = waits

    async def fetch(self, query: Query[Row], args: tuple[object, ...]) -> list[Row]:
        """See ``Store``."""
        records = await self._ask(self.connection.fetch, query, args)
        return [query.build(record) for record in records]

    async def fetch_one(self, query: Query[Row], args: tuple[object, ...]) -> Row | None:
        """See ``Store``."""
        record = await self._ask(self.connection.fetchrow, query, args)
        return None if record is None else query.build(record)

    async def execute(self, query: Query[Any], args: tuple[object, ...]) -> int:
        """See ``Store``."""
        return _touched(await self._ask(self.connection.execute, query, args))

    async def _ask(
        self, call: Callable[..., Awaitable[Any]], query: Query[Any], args: tuple[object, ...]
    ) -> Any:
        key, moved = self._waits.enter(args), False
        try:
            with translated():
                answer = await call(query.text(self._schema), *args)
            moved = True
        except errors.DatabaseUnavailable as error:
            # The loser of a conflict did not wait in vain: the row is on its way from one to the next.
            moved = isinstance(error.__cause__, asyncpg.TransactionRollbackError)
            raise
        finally:
            self._waits.leave(key, moved=moved)
        return answer

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Store, None]:
        """Open a transaction on this connection; inside one it is a savepoint."""
        transaction = self.connection.transaction()
        with translated():
            await transaction.start()
        try:
            yield self
        except BaseException:
            await self.undo(transaction.rollback)
            raise
        with translated():
            await transaction.commit()

    def lend(self) -> Connection:
        """Return the connection to a host that runs statements of its own."""
        return self.connection

    async def undo(self, roll_back: Callable[[], Awaitable[Any]]) -> None:
        """Roll back unless the connection is gone, in which case the server has already done it."""
        with suppress(errors.DatabaseUnavailable, asyncpg.PostgresError):
            with translated():
                if not self.connection.is_closed():
                    await roll_back()
            return
        # What brought us here is the error to report. A connection that cannot even roll back is of no more
        # use to anybody; without it the server rolls back by itself.
        with suppress(asyncpg.InterfaceError):
            self.connection.terminate()


def _touched(status: str) -> int:
    """Read the row count from a command tag such as ``UPDATE 3``; commands without one count as zero."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
