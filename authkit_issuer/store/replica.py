"""Reads that may be a moment old: from a replica, or from the primary while it is away or behind."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import asyncpg

from authkit_issuer.errors import DatabaseUnavailable
from authkit_issuer.store.connection import Store
from authkit_issuer.store.query import Query

Row = TypeVar("Row")
Result = TypeVar("Result")

AWAY = 10.0
"""Seconds for which a replica that did not answer, or lacks a migration, is not asked again."""
_BEHIND = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)
"""What a replica says that has not replayed a migration yet. The primary says it only of a defect."""

logger = logging.getLogger("authkit.database")


class ReplicaStore:
    """Reads go to the replica; everything else goes to the primary."""

    __slots__ = ("_away_until", "_primary", "_replica")

    def __init__(self, replica: Store, primary: Store) -> None:
        """Take both stores; nothing is asked yet."""
        self._replica = replica
        self._primary = primary
        self._away_until = 0.0

    async def fetch(self, query: Query[Row], args: tuple[object, ...]) -> list[Row]:
        """See ``Store``."""
        return await self._read(lambda store: store.fetch(query, args))

    async def fetch_one(self, query: Query[Row], args: tuple[object, ...]) -> Row | None:
        """See ``Store``."""
        return await self._read(lambda store: store.fetch_one(query, args))

    async def execute(self, query: Query[Any], args: tuple[object, ...]) -> int:
        """See ``Store``."""
        return await self._primary.execute(query, args)

    def begin(self) -> AbstractAsyncContextManager[Store]:
        """See ``Store``."""
        return self._primary.begin()

    async def _read(self, read: Callable[[Store], Awaitable[Result]]) -> Result:
        if time.monotonic() >= self._away_until:
            try:
                return await read(self._replica)
            except DatabaseUnavailable as error:
                self._away_until = time.monotonic() + AWAY
                logger.warning(
                    "the read replica does not answer (%s): the primary is read for %g s", error.reason, AWAY
                )
            except _BEHIND as error:
                self._away_until = time.monotonic() + AWAY
                logger.warning(
                    "the read replica lacks a migration (%s): the primary is read for %g s", error, AWAY
                )
        return await read(self._primary)
