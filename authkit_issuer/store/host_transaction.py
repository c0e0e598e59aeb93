"""A host's transaction that the service joins: whether it can, and how it ended.

asyncpg has no hook for a commit, but the server knows the outcome of every transaction by its number.
"""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from authkit_issuer.errors import NotJoinable
from authkit_issuer.store.connection import Connection, ConnectionStore, translated
from authkit_issuer.store.dialect import TRANSACTION_NUMBER, TRANSACTION_STATUS
from authkit_issuer.store.lock_waits import LockWaits
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTransaction:
    """The number of a transaction, and its isolation level."""

    number: str
    isolation: str


CURRENT = Query(
    HostTransaction,
    f"select {TRANSACTION_NUMBER} as number, current_setting('transaction_isolation') as isolation",
)
# Null is a transaction that ended so long ago that the server has forgotten it.
STATUS = Query(str, f"select coalesce({TRANSACTION_STATUS}, 'forgotten')")
IN_PROGRESS, COMMITTED = "in progress", "committed"


async def joined(connection: Connection, schema: str) -> tuple[ConnectionStore, HostTransaction]:
    """Return the store of a connection, and the transaction that is open on it.

    Raises:
        TypeError: This is not a connection of asyncpg.
        NotJoinable: No transaction is open, or its isolation level is not ``read committed``.
    """
    if not isinstance(connection, asyncpg.Connection | PoolConnectionProxy):
        raise TypeError(
            f"connection is a {type(connection).__name__}: pass an asyncpg connection; SQLAlchemy has it as "
            "(await connection.get_raw_connection()).driver_connection"
        )
    with translated():
        is_open = connection.is_in_transaction()
    if not is_open:
        raise NotJoinable(
            "connection has no open transaction: begin one first; SQLAlchemy begins at its first statement"
        )
    store = ConnectionStore(connection, schema, LockWaits(most=1))
    transaction = await store.fetch_one(CURRENT, ())
    if transaction is None:
        raise LookupError("the query returned no row")
    if transaction.isolation != "read committed":
        # The checks of this service lock a row and then read what others committed before.
        raise NotJoinable(
            f"the transaction of connection is {transaction.isolation}: begin it as read committed"
        )
    return store, transaction
