"""The sessions that keep another one waiting for a lock, named for an operator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from authkit_issuer.store.connecting import Connector

INTERVAL = 0.1
"""Seconds between two looks: a holder may be gone by the next one."""
_HOLDERS = """
select pid, coalesce(nullif(application_name, ''), backend_type, 'unknown program') as program,
       coalesce(usename, '-') as role, coalesce(state, 'unknown') as state,
       coalesce(extract(epoch from clock_timestamp() - xact_start), 0)::float8 as seconds
from pg_stat_activity where pid = any(pg_blocking_pids($1)) order by xact_start
"""


class LockHolders:
    """What was found at the last look at which there was a holder."""

    def __init__(self) -> None:
        """Start with none."""
        self.text = ""


@asynccontextmanager
async def watched(connector: Connector, pid: int) -> AsyncGenerator[LockHolders, None]:
    """Look on a connection of its own, while the block runs, for what keeps the session ``pid`` waiting."""
    found = LockHolders()
    task = asyncio.create_task(_watch(connector, pid, found), name="authkit lock holders")
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(connector: Connector, pid: int, found: LockHolders) -> None:
    # The names are a help: without a second connection the wait goes on without them.
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await asyncio.sleep(INTERVAL)
        connection: Any = await connector.connect()
        try:
            while True:
                await asyncio.sleep(INTERVAL)
                rows = await connection.fetch(_HOLDERS, pid)
                if rows:
                    found.text = ", ".join(_named(row) for row in rows)
        finally:
            connection.terminate()


def _named(row: Any) -> str:
    return (
        f"process {row['pid']} ({row['program']}, role {row['role']}, {row['state']}, {row['seconds']:.0f} s)"
    )
