"""The store with a ``Telemetry``: each statement is counted, timed, and a span."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

from authkit_issuer import errors
from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.store.connecting import Connector
from authkit_issuer.store.connection import Connection, ConnectionStore, Store
from authkit_issuer.store.postgres import Pool, PoolStore
from authkit_issuer.store.query import Query
from authkit_issuer.telemetry import measurements as names

Row = TypeVar("Row")

_VERB = re.compile(r"\b(insert into|update|delete from|select)\b", re.IGNORECASE)
_TABLE = re.compile(r"\bprofiles\.(\w+)")


class Statements:
    """Times statements, and names them by verb and first table, as ``update refresh_sessions``."""

    def __init__(self, telemetry: Telemetry) -> None:
        """Take what receives the numbers."""
        self.telemetry = telemetry
        self.waiting = 0
        """Callers that wait for a connection."""
        self._names: dict[Query[Any], str] = {}

    @contextmanager
    def timed(self, query: Query[Any]) -> Generator[None]:
        """Measure the block that runs a statement."""
        name = self._names.get(query) or self._named(query)
        verb, _, table = name.partition(" ")
        attributes: dict[str, str | int] = {
            "db.system.name": "postgresql",
            "db.operation.name": verb,
            "db.collection.name": table,
        }
        began = time.perf_counter()
        with self.telemetry.span(name, "client", attributes):
            try:
                yield
            except errors.Unavailable as error:
                cause = type(error.__cause__ or error).__name__
                self.telemetry.count(names.DATABASE_FAILURES.name, cause=cause)
                raise
            finally:
                spent = time.perf_counter() - began
                self.telemetry.observe(names.STATEMENTS.name, spent, statement=name)

    def _named(self, query: Query[Any]) -> str:
        verb, table = _VERB.search(query.sql), _TABLE.search(query.sql)
        word = verb[1].split()[0].lower() if verb else "select"
        found = self._names[query] = f"{word} {table[1]}" if table else word
        return found


class MeasuredStore:
    """A store whose statements are measured."""

    __slots__ = ("_statements", "_store")

    def __init__(self, store: Store, statements: Statements) -> None:
        """Take the store that runs the statements."""
        self._store = store
        self._statements = statements

    async def fetch(self, query: Query[Row], args: tuple[object, ...]) -> list[Row]:
        """See ``Store``."""
        with self._statements.timed(query):
            return await self._store.fetch(query, args)

    async def fetch_one(self, query: Query[Row], args: tuple[object, ...]) -> Row | None:
        """See ``Store``."""
        with self._statements.timed(query):
            return await self._store.fetch_one(query, args)

    async def execute(self, query: Query[Any], args: tuple[object, ...]) -> int:
        """See ``Store``."""
        with self._statements.timed(query):
            return await self._store.execute(query, args)

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Store, None]:
        """See ``Store``."""
        async with self._store.begin() as store:
            yield MeasuredTransaction(store, self._statements)


class MeasuredTransaction(MeasuredStore):
    """A ``MeasuredStore`` over the connection that holds a transaction."""

    __slots__ = ()

    def lend(self) -> Connection:
        """Return the connection to a host that runs statements of its own."""
        return cast("ConnectionStore", self._store).lend()


class WatchedPoolStore(PoolStore):
    """A ``PoolStore`` that measures how long its callers wait for a connection."""

    __slots__ = ("_statements",)

    def __init__(self, pool: Pool, schema: str, connector: Connector | None, statements: Statements) -> None:
        """Take what a ``PoolStore`` takes, and where the callers that wait are counted."""
        super().__init__(pool, schema, connector)
        self._statements = statements

    async def _acquired(self) -> Connection:
        began = time.perf_counter()
        self._statements.waiting += 1
        try:
            return await super()._acquired()
        finally:
            self._statements.waiting -= 1
            self._statements.telemetry.observe(names.POOL_WAITS.name, time.perf_counter() - began)
