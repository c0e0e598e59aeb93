"""Transactions that are repeated when the server gave them up for another's sake.

A loser of a serialization conflict or a deadlock did nothing. The same statements run again in a new
transaction; as long as they return what they returned before, the caller cannot tell the two apart and goes
on. A different result ends the repetition: the caller may have decided by the first one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import asyncpg

from authkit_issuer import errors
from authkit_issuer.store.connection import Connection, ConnectionStore, Store, translated
from authkit_issuer.store.lock_waits import LockWaits
from authkit_issuer.store.query import Query

Row = TypeVar("Row")
Step = Callable[[], Awaitable[Any]]

ISOLATION = "read_committed"
"""What every statement here was written for, whatever the default of the database is."""
REPEATED = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    # The plan of a statement is older than a change of the schema; the driver has forgotten it by now.
    asyncpg.InvalidCachedStatementError,
)
MAX_REPETITIONS = 10
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.2
"""Seconds of the first pause between two tries, and of the longest; each is a random part of it."""


async def pause(number: int) -> bool:
    """Wait before the repetition of this number, from 0; False if there is none."""
    if number >= MAX_REPETITIONS:
        return False
    await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)))  # noqa: S311 - no secret
    return True


def gave_up(error: errors.AuthError) -> bool:
    """True if the server undid the work for the sake of another transaction."""
    return isinstance(error.__cause__, REPEATED)


class RepeatedStore(ConnectionStore):
    """Queries in one transaction on a connection."""

    __slots__ = ("_repeatable", "_repetitions", "_savepoints", "_steps")

    def __init__(self, connection: Connection, schema: str, waits: LockWaits) -> None:
        """Take a connection with an open transaction."""
        super().__init__(connection, schema, waits)
        self._steps: list[tuple[Step, Any]] = []
        self._repetitions = 0
        self._savepoints = 0
        self._repeatable = True

    def lend(self) -> Connection:
        """Return the connection to a host; its statements end the repetition."""
        self._repeatable = False
        return self.connection

    async def fetch(self, query: Query[Row], args: tuple[object, ...]) -> list[Row]:
        """See ``Store``."""
        rows: list[Row] = await self._run(partial(ConnectionStore.fetch, self, query, args))
        return rows

    async def fetch_one(self, query: Query[Row], args: tuple[object, ...]) -> Row | None:
        """See ``Store``."""
        row: Row | None = await self._run(partial(ConnectionStore.fetch_one, self, query, args))
        return row

    async def execute(self, query: Query[Any], args: tuple[object, ...]) -> int:
        """See ``Store``."""
        touched: int = await self._run(partial(ConnectionStore.execute, self, query, args))
        return touched

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Store, None]:
        """Open a savepoint."""
        self._savepoints += 1
        name = f"authkit_{self._savepoints}"
        await self._run(partial(self._command, f"savepoint {name}"))
        try:
            yield self
        except BaseException:
            await self.undo(partial(self._run, partial(self._command, f"rollback to savepoint {name}")))
            raise
        await self._run(partial(self._command, f"release savepoint {name}"))

    @asynccontextmanager
    async def until_commit(self, transaction: Any) -> AsyncGenerator[Store, None]:
        """Commit the transaction at the end of the block, or roll it back after a failure."""
        try:
            yield self
        except BaseException:
            await self.undo(transaction.rollback)
            raise
        await self._commit(transaction)

    async def _run(self, step: Step) -> Any:
        while True:
            try:
                result = await step()
            except errors.DatabaseUnavailable as error:
                if not (gave_up(error) and await self._restarted(self._begin_again)):
                    self._repeatable = False
                    raise
            except BaseException:
                # The caller has seen a failure that need not come again.
                self._repeatable = False
                raise
            else:
                self._steps.append((step, result))
                return result

    async def _commit(self, transaction: Any) -> None:
        while True:
            try:
                with translated():
                    await transaction.commit()
            except errors.DatabaseUnavailable as error:
                if not gave_up(error):
                    raise
                # The driver is done with the transaction that failed.
                transaction = self.connection.transaction(isolation=ISOLATION)
                if not await self._restarted(transaction.start):
                    if self.connection.is_in_transaction():
                        await self.undo(transaction.rollback)
                    raise
            else:
                return

    async def _restarted(self, begin: Step) -> bool:
        """Begin again and repeat every step; False if that is not possible or leads elsewhere."""
        while self._repeatable and await pause(self._repetitions):
            self._repetitions += 1
            try:
                with translated():
                    await begin()
                for step, result in self._steps:
                    if await step() != result:
                        self._repeatable = False
                        break
                else:
                    return True
            except errors.DatabaseUnavailable as error:
                begin = self._begin_again
                if not gave_up(error):
                    raise
        return False

    async def _begin_again(self) -> None:
        await self.connection.execute(f"rollback; begin isolation level {ISOLATION.replace('_', ' ')}")

    async def _command(self, text: str) -> None:
        with translated():
            await self.connection.execute(text)
