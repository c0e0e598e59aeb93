"""The migration runner: ordered SQL files, applied in one transaction under a lock.

Any number of processes may start at once: one applies, the others wait and find nothing to do. A file that
was edited or removed after it was applied, and a database that is ahead of this code, are refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from authkit_issuer.errors import ConfigError, StartupError
from authkit_issuer.store.address import place
from authkit_issuer.store.connecting import Connector
from authkit_issuer.store.connection import translated
from authkit_issuer.store.query import DEFAULT_SCHEMA, Statement

_FILE = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_LOCK = int.from_bytes(hashlib.sha256(b"authkit migrations").digest()[:8], "big", signed=True)
_TABLE = """
create table if not exists {schema}.schema_migrations (
    version    integer primary key,
    name       text not null,
    checksum   text not null,
    applied_at timestamptz not null default now()
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file: its number, its name and its text. The checksum ignores nothing, not even white space."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped() -> tuple[Migration, ...]:
    """Return the migrations in this package, in order."""
    found: list[Migration] = []
    for entry in resources.files("authkit_issuer.store").joinpath("migrations").iterdir():
        match = _FILE.match(entry.name)
        if match:
            found.append(Migration(version=int(match[1]), name=match[2], sql=entry.read_text("utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise StartupError("The migration files in this installation are not numbered 1, 2, 3, and so on.")
    return tuple(found)


async def migrate(
    dsn: str | None, *, schema: str = DEFAULT_SCHEMA, migrations: Sequence[Migration] | None = None
) -> list[Migration]:
    """Bring the database up to date and return what was applied; all of it or nothing.

    Raises ``ConfigError`` without a ``dsn``, ``StartupError`` for edited or missing files and for a database
    of a newer version, and ``DatabaseUnavailable`` when the server does not answer.
    """
    wanted = shipped() if migrations is None else tuple(migrations)
    connection = await _connect(dsn)
    try:
        with translated():
            async with connection.transaction():
                # Held until commit; later arrivals then see the finished table.
                await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
                await connection.execute(f"create schema if not exists {schema}")
                await connection.execute(_TABLE.format(schema=schema))
                unapplied = _pending(await _applied(connection, schema), wanted)
                for migration in unapplied:
                    await _apply(connection, schema, migration)
        return unapplied
    finally:
        await connection.close()


async def _connect(dsn: str | None) -> Any:
    if not dsn:
        raise ConfigError("database_url is not set: set AUTHKIT_DATABASE_URL, or pass the address.")
    with translated(place(dsn)):
        # A migration takes as long as it takes, and locks are bounded by themselves.
        return await Connector(
            dsn, command_timeout=None, statement_cache=False, name="authkit migrate"
        ).connect()


async def pending(dsn: str | None, *, schema: str = DEFAULT_SCHEMA) -> list[Migration]:
    """Return the migrations that ``migrate`` would apply; changes nothing and raises the same."""
    connection = await _connect(dsn)
    try:
        return await _missing(connection, schema)
    finally:
        await connection.close()


async def check(connection: Any, *, schema: str = DEFAULT_SCHEMA) -> None:
    """Raise ``StartupError`` unless the database holds exactly the schema this code was written for."""
    missing = await _missing(connection, schema)
    if missing:
        raise StartupError(
            f"The database schema is at version {missing[0].version - 1} and this program needs "
            f"version {missing[-1].version}: run `authkit migrate` first."
        )


async def _missing(connection: Any, schema: str) -> list[Migration]:
    with translated():
        present = await connection.fetchval(
            "select to_regclass($1) is not null", f"{schema}.schema_migrations"
        )
        applied = await _applied(connection, schema) if present else {}
    return _pending(applied, shipped())


async def _applied(connection: Any, schema: str) -> dict[int, tuple[str, str]]:
    query = Statement("select version, name, checksum from profiles.schema_migrations")
    rows = await connection.fetch(query.text(schema))
    return {row["version"]: (row["name"], row["checksum"]) for row in rows}


async def _apply(connection: Any, schema: str, migration: Migration) -> None:
    await connection.execute(Statement(migration.sql).text(schema))
    record = Statement("insert into profiles.schema_migrations (version, name, checksum) values ($1, $2, $3)")
    await connection.execute(record.text(schema), migration.version, migration.name, migration.checksum)


def _pending(applied: dict[int, tuple[str, str]], wanted: Sequence[Migration]) -> list[Migration]:
    """Compare what the database says with what we ship; return what is still to do."""
    known = {migration.version: migration for migration in wanted}
    newest = max(known, default=0)
    for version in sorted(applied):
        name, checksum = applied[version]
        if version > newest:
            raise StartupError(
                f"The database schema is at version {max(applied)}, newer than version {newest}, "
                "which is the latest this program knows: upgrade authkit."
            )
        if version not in known:
            raise StartupError(f"Migration {version} ({name}) was applied but its file is missing.")
        if known[version].checksum != checksum:
            raise StartupError(f"Migration {version} ({name}) was edited after it had been applied.")
    pending = [migration for migration in wanted if migration.version not in applied]
    if pending and applied and pending[0].version < max(applied):
        raise StartupError(f"Migration {pending[0].version} was never applied although later ones were.")
    return pending
