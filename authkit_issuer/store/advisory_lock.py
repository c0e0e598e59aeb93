"""A place in the database that one process at a time can hold.

An advisory lock of PostgreSQL, held by the session of one connection: it goes with the process however that
ends, and nobody waits for a lease to run out. Not for use behind a pooler in transaction mode, where sessions
are shared.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg

from authkit_issuer.store.postgres import readable_address, translated

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]

CONNECT_TIMEOUT = 10.0
PATIENCE = 2.0
"""Seconds for which a taken place is asked for again: the server has to notice that a process ended."""
_POLL = 0.1


class AdvisoryLock:
    """One named place, on a connection of its own."""

    def __init__(self, dsn: str, name: str) -> None:
        """Name the place; nothing is opened yet."""
        self._dsn = dsn
        self._name = name
        self._connection: _Connection | None = None

    @property
    def held(self) -> bool:
        """Tell whether this process has the place; a database that restarts takes it away."""
        return self._connection is not None and not self._connection.is_closed()

    async def take(self, *, patience: float = PATIENCE) -> bool:
        """Take the place unless another process keeps it for ``patience`` seconds.

        Raises ``ConfigError`` for an unreadable address, ``DatabaseUnavailable`` when nobody answers.
        """
        await self.leave()
        with readable_address(), translated():
            connection: _Connection = await asyncpg.connect(
                self._dsn, timeout=CONNECT_TIMEOUT, command_timeout=CONNECT_TIMEOUT, statement_cache_size=0
            )
        try:
            taken = await self._take(connection, patience)
        except BaseException:
            connection.terminate()
            raise
        if taken:
            self._connection = connection
        else:
            connection.terminate()
        return taken

    async def _take(self, connection: _Connection, patience: float) -> bool:
        statement = "select pg_try_advisory_lock(hashtextextended($1, 0))"
        deadline = asyncio.get_running_loop().time() + patience
        with translated():
            while not await connection.fetchval(statement, self._name):
                if asyncio.get_running_loop().time() >= deadline:
                    return False
                await asyncio.sleep(_POLL)
        return True

    async def leave(self) -> None:
        """Let go of the place, if it is held."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
