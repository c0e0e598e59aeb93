"""Whether a connection pooler stands between this process and the server, and loses prepared statements.

A pooler in transaction mode gives each transaction any of its connections to the server. Some remember which
statements a client prepared, under names of their own; others leave the client with an error.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncpg

from authkit_issuer.store.address import place
from authkit_issuer.store.connecting import Connector
from authkit_issuer.store.connection import translated

_PATIENCE = 1.0
"""Seconds to wait for a connection of the pooler to the server."""
_PROCESS = "select pg_backend_pid()"
_NAME = "authkit_probe"
_PREPARED = "select count(*) from pg_prepared_statements where name = $1"

logger = logging.getLogger("authkit.database")


async def recognize(connector: Connector) -> None:
    """Turn the statement cache of ``connector`` off behind a pooler that would lose its statements.

    Raises:
        DatabaseUnavailable: No host answers.
    """
    if not connector.statement_cache:
        return
    opened: list[Any] = []
    try:
        with translated(place(connector.dsn)):
            opened.append(await connector.connect(statement_cache=False))
            # A pooler has numbers of its own, by which a client may cancel a query.
            if await opened[0].fetchval(_PROCESS) == opened[0].get_server_pid():
                return
            opened.append(await connector.connect(statement_cache=False))
            if not await _is_shared(*opened) or await _are_kept(opened[0]):
                return
    finally:
        for connection in opened:
            connection.terminate()
    connector.statement_cache = False
    logger.warning(
        "behind a connection pooler in transaction mode without prepared statements, statements are prepared "
        "anew each time: set database_statement_cache (AUTHKIT_DATABASE_STATEMENT_CACHE) to false, or let "
        "the pooler keep them (PgBouncer 1.21: max_prepared_statements)"
    )


async def _is_shared(first: Any, second: Any) -> bool:
    """True if a connection of the pooler to the server serves two clients in turn."""
    async with first.transaction():
        before = await first.fetchval(_PROCESS)
    try:
        async with asyncio.timeout(_PATIENCE), second.transaction():
            if await second.fetchval(_PROCESS) == before:
                return True
            return bool(await first.fetchval(_PROCESS) != before)
    except TimeoutError:
        return False  # the first client keeps the only one


async def _are_kept(connection: Any) -> bool:
    """True if the pooler gives statements names of its own, and so knows where it prepared them."""
    try:
        async with connection.transaction():
            # Kept in a variable: without it the statement is closed at once.
            statement = await connection.prepare(_PROCESS, name=_NAME)
            named = await connection.fetchval(_PREPARED, statement.get_name())
    except asyncpg.DuplicatePreparedStatementError:
        return False
    return not named
