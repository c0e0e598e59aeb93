"""A named lock in the database that one process at a time can hold.

An advisory lock of PostgreSQL, held by the session of one connection: it is released when the process ends,
in whatever way, and no other process waits for a lease to run out. Not for use behind a pooler in transaction
mode, where sessions are shared.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from authkit_issuer.store import dialect
from authkit_issuer.store.address import place
from authkit_issuer.store.connecting import Connector
from authkit_issuer.store.connection import translated

if TYPE_CHECKING:
    import asyncpg

    _Connection = asyncpg.Connection[asyncpg.Record]

MAX_WAIT = 2.0
"""Seconds to retry a lock that is taken: the server has to notice that its process ended."""
_POLL = 0.1


class AdvisoryLock:
    """One named lock, on a connection of its own."""

    def __init__(self, dsn: str, name: str) -> None:
        """Name the lock; nothing is opened yet."""
        self._dsn = dsn
        self._name = name
        self._connection: _Connection | None = None

    @property
    def held(self) -> bool:
        """True while this process holds the lock; a restart of the database releases it."""
        return self._connection is not None and not self._connection.is_closed()

    async def acquire(self, *, timeout: float = MAX_WAIT) -> bool:  # noqa: ASYNC109 - zero means: try once
        """Acquire the lock; False when another process holds it for ``timeout`` seconds.

        Raises ``ConfigError`` for an unreadable address, ``DatabaseUnavailable`` without an answer.
        """
        await self.release()
        connector = Connector(self._dsn, statement_cache=False)
        with translated(place(self._dsn)):
            connection: _Connection = await connector.connect()
        try:
            acquired = await self._acquire(connection, timeout)
        except BaseException:
            connection.terminate()
            raise
        if acquired:
            self._connection = connection
        else:
            connection.terminate()
        return acquired

    async def _acquire(self, connection: _Connection, seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        with translated():
            while not await connection.fetchval(dialect.TRY_NAMED_LOCK, self._name):
                if asyncio.get_running_loop().time() >= deadline:
                    return False
                await asyncio.sleep(_POLL)
        return True

    async def release(self) -> None:
        """Release the lock, if it is held."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
