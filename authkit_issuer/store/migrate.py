"""The migration runner: ordered SQL files under a lock, in one transaction unless a file is marked otherwise.

Any number of processes may start at once: one applies, the others wait and find nothing to do. Traffic never
waits long: a lock that is not free in half a second is left, and tried for again. A file that was edited or
removed after it was applied is refused, and so is a database that is ahead of this code, unless the
migrations that this code does not know are marked as readable by it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from authkit_issuer.errors import ConfigError, StartupError
from authkit_issuer.store import dialect
from authkit_issuer.store.address import place
from authkit_issuer.store.connecting import Connector
from authkit_issuer.store.connection import translated
from authkit_issuer.store.lock_holders import watched
from authkit_issuer.store.migration_files import Migration, shipped
from authkit_issuer.store.query import DEFAULT_SCHEMA, Statement

LOCK_TIMEOUT = 0.5
"""Seconds that one try waits for a lock, with the traffic on that table behind it."""
PATIENCE = 60.0
"""Seconds until a migration that never gets its locks gives up."""
_PAUSE = 1.0
"""Seconds between two tries, for the traffic; each is a random part of it, and at least half."""
_BUSY = 0.1
"""Seconds between two looks whether another process has finished."""
_LOCK = int.from_bytes(hashlib.sha256(b"authkit migrations").digest()[:8], "big", signed=True)
_TABLE = """
create table if not exists {schema}.schema_migrations (
    version     integer primary key,
    name        text not null,
    checksum    text not null,
    applied_at  timestamptz not null default now(),
    readable_by integer
)
"""
_COLUMN = """
select count(*) from pg_attribute
where attrelid = $1::text::regclass and attname = 'readable_by' and not attisdropped
"""

logger = logging.getLogger("authkit.database")


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A row of ``schema_migrations``."""

    name: str
    checksum: str
    readable_by: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus:
    """The version of the schema, and what ``migrate`` would apply."""

    version: int
    pending: list[Migration]


async def migrate(
    dsn: str | None,
    *,
    schema: str = DEFAULT_SCHEMA,
    migrations: Sequence[Migration] | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
    patience: float = PATIENCE,
    waiting: Callable[[str], None] | None = None,
) -> list[Migration]:
    """Bring the database up to date and return what was applied.

    Consecutive files are applied together or not at all, except those marked ``outside a transaction``, for
    which a new schema makes no exception.

    Args:
        dsn: The address of the database.
        schema: The schema that holds the tables.
        migrations: The migrations; None is what this package ships.
        lock_timeout: Seconds that one try waits for a lock.
        patience: Seconds until it gives up because others hold a lock.
        waiting: Receives a sentence with the sessions that hold the lock, after each try.

    Returns:
        The migrations that were applied.

    Raises:
        ConfigError: There is no ``dsn``.
        StartupError: Files were edited or are missing, the database is of a newer version, or others hold a
            lock for too long.
        DatabaseUnavailable: The server does not answer.
    """
    runner = _Runner(_connector(dsn), schema, shipped() if migrations is None else tuple(migrations))
    done: list[Migration] = []
    deadline = time.monotonic() + patience
    while True:
        holders = ""
        try:
            applied = await runner.apply_next(lock_timeout)
        except _LockedError as error:
            holders = error.holders or "a session that is not known"
        else:
            if not applied:
                return done
            done += applied
            deadline = time.monotonic() + patience
            continue
        if time.monotonic() > deadline:
            raise StartupError(
                f"The migration did not get its locks in {patience:g} s: they are held by {holders}. "
                "Nothing of it was applied: end that session, or give more --patience."
            )
        if waiting is not None:
            waiting(f"waiting for {holders}")
        await asyncio.sleep(random.uniform(_PAUSE / 2, _PAUSE))  # noqa: S311 - no secret


class _LockedError(Exception):
    """Others hold a lock; ``holders`` names them."""

    def __init__(self, holders: str) -> None:
        super().__init__(holders)
        self.holders = holders


class _Runner:
    def __init__(self, connector: Connector, schema: str, wanted: Sequence[Migration]) -> None:
        self._connector = connector
        self._schema = schema
        self._wanted = wanted

    async def apply_next(self, lock_timeout: float) -> list[Migration]:
        """Apply the next files that belong together, and return them; empty if there are none."""
        with translated(place(self._connector.dsn)):
            connection: Any = await self._connector.connect()
        try:
            pid = await connection.fetchval("select pg_backend_pid()")
            async with watched(self._connector, pid) as holders:
                try:
                    with translated():
                        together = await self._together(connection, lock_timeout)
                        if together or not (left := await self._left(connection)):
                            return together
                        return [await self._alone(connection, left[0])]
                except Exception as error:
                    if isinstance(error.__cause__, asyncpg.LockNotAvailableError):
                        raise _LockedError(holders.text) from error
                    raise
        finally:
            await connection.close()

    async def _together(self, connection: Any, lock_timeout: float) -> list[Migration]:
        """Apply files in one transaction, up to the first that is marked otherwise."""
        async with self._transaction(connection):
            limit = f"set local lock_timeout = {round(lock_timeout * 1000)}"
            await connection.execute(f"{limit}; set local statement_timeout = 0")
            await self._prepare(connection)
            found: list[Migration] = []
            is_new = not await _applied(connection, self._schema)
            for migration in await self._left(connection):
                if not (migration.in_transaction or is_new):
                    break
                sql = migration.sql if migration.in_transaction else migration.sql_of_new_schema
                await connection.execute(Statement(sql).text(self._schema))
                await self._record(connection, migration)
                found.append(migration)
            return found

    @asynccontextmanager
    async def _transaction(self, connection: Any) -> AsyncGenerator[None, None]:
        """Open a transaction that holds the lock of migrations, once no other process has it."""
        while True:
            async with connection.transaction():
                # A wait inside the server would hold a snapshot, for which an index would wait in turn.
                if await connection.fetchval(dialect.TRY_TRANSACTION_LOCK, _LOCK):
                    yield
                    return
            await asyncio.sleep(_BUSY)

    async def _prepare(self, connection: Any) -> None:
        """Create the table of migrations, or give one of an older program its column."""
        await connection.execute(f"create schema if not exists {self._schema}")
        await connection.execute(_TABLE.format(schema=self._schema))
        table = f"{self._schema}.schema_migrations"
        if not await connection.fetchval(_COLUMN, table):
            await connection.execute(f"alter table {table} add column readable_by integer")

    async def _alone(self, connection: Any, migration: Migration) -> Migration:
        """Apply a file whose statements are transactions of their own; it can be repeated after a failure."""
        while not await connection.fetchval(dialect.TRY_LOCK, _LOCK):  # noqa: ASYNC110 - as above
            await asyncio.sleep(_BUSY)
        # An index that is built CONCURRENTLY waits for transactions, and no traffic waits behind it. Lock and
        # settings end with the session.
        await connection.execute("set lock_timeout = 0; set statement_timeout = 0")
        if migration in await self._left(connection):
            for statement in migration.statements:
                await connection.execute(Statement(statement).text(self._schema))
            await self._record(connection, migration)
        return migration

    async def _left(self, connection: Any) -> list[Migration]:
        return _pending(await _applied(connection, self._schema), self._wanted)

    async def _record(self, connection: Any, migration: Migration) -> None:
        text = (
            "insert into profiles.schema_migrations (version, name, checksum, readable_by)"
            " values ($1, $2, $3, $4)"
        )
        values = (migration.version, migration.name, migration.checksum, migration.readable_by)
        await connection.execute(Statement(text).text(self._schema), *values)


def _connector(dsn: str | None) -> Connector:
    if not dsn:
        raise ConfigError("database_url is not set: set AUTHKIT_DATABASE_URL, or pass the address.")
    # A migration takes as long as it takes, and its locks are bounded by themselves.
    return Connector(dsn, command_timeout=None, statement_cache=False, name="authkit migrate")


async def status(dsn: str | None, *, schema: str = DEFAULT_SCHEMA) -> SchemaStatus:
    """Return the version of the schema and what is pending; changes nothing and raises as ``migrate``."""
    connector = _connector(dsn)
    with translated(place(connector.dsn)):
        connection: Any = await connector.connect()
    try:
        applied = await _applied(connection, schema)
        return SchemaStatus(version=max(applied, default=0), pending=_pending(applied, shipped()))
    finally:
        await connection.close()


async def pending(dsn: str | None, *, schema: str = DEFAULT_SCHEMA) -> list[Migration]:
    """Return the migrations that ``migrate`` would apply; changes nothing and raises the same."""
    return (await status(dsn, schema=schema)).pending


async def check(connection: Any, *, schema: str = DEFAULT_SCHEMA) -> None:
    """Raise ``StartupError`` unless the database holds the schema this code was written for.

    A newer schema is accepted if its migrations are marked as readable by this code.
    """
    applied, known = await _applied(connection, schema), shipped()
    missing = _pending(applied, known)
    if missing:
        raise StartupError(
            f"The database schema is at version {missing[0].version - 1} and this program needs "
            f"version {missing[-1].version}: run `authkit migrate` first."
        )
    newest = max(applied, default=0)
    if newest > len(known):
        logger.warning(
            "the database schema is at version %d, newer than version %d of this program, which can read it",
            newest,
            len(known),
        )


async def _applied(connection: Any, schema: str) -> dict[int, Applied]:
    # The column is younger than the table.
    query = Statement(
        "select version, name, checksum, (to_jsonb(m) ->> 'readable_by')::int as readable_by"
        " from profiles.schema_migrations m"
    )
    with translated():
        present = await connection.fetchval(
            "select to_regclass($1) is not null", f"{schema}.schema_migrations"
        )
        rows = await connection.fetch(query.text(schema)) if present else []
    return {
        row["version"]: Applied(name=row["name"], checksum=row["checksum"], readable_by=row["readable_by"])
        for row in rows
    }


def _pending(applied: dict[int, Applied], wanted: Sequence[Migration]) -> list[Migration]:
    """Compare what the database says with what we ship; return what is still to do."""
    known = {migration.version: migration for migration in wanted}
    newest = max(known, default=0)
    for version, row in sorted(applied.items()):
        if version > newest:
            if row.readable_by is not None and row.readable_by <= newest:
                continue
            raise StartupError(
                f"The database schema is at version {max(applied)}, newer than version {newest}, "
                "which is the latest this program can read: upgrade authkit."
            )
        if version not in known:
            raise StartupError(f"Migration {version} ({row.name}) was applied but its file is missing.")
        if known[version].checksum != row.checksum:
            raise StartupError(f"Migration {version} ({row.name}) was edited after it had been applied.")
    left = [migration for migration in wanted if migration.version not in applied]
    if left and applied and left[0].version < max(applied):
        raise StartupError(f"Migration {left[0].version} was never applied although later ones were.")
    return left
