"""The migration runner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest

from authkit_issuer.errors import ConfigError, DatabaseUnavailable, StartupError
from authkit_issuer.store.migrate import Migration, check, migrate, pending, shipped


@pytest.fixture
async def empty(database_url: str) -> AsyncIterator[str]:
    """Name a schema that does not exist yet, and drop it afterwards."""
    name = "fresh_one"
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"drop schema if exists {name} cascade")
    yield name
    await connection.execute(f"drop schema if exists {name} cascade")
    await connection.close()


async def applied(database_url: str, schema: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval(f"select count(*) from {schema}.schema_migrations")
    finally:
        await connection.close()


async def test_ten_processes_that_start_at_once_migrate_once(database_url: str, empty: str) -> None:
    done = await asyncio.gather(*(migrate(database_url, schema=empty) for _ in range(10)))
    assert sorted(len(migrations) for migrations in done) == [0] * 9 + [len(shipped())]
    assert await applied(database_url, empty) == len(shipped())


async def test_a_migrated_schema_under_any_name_passes_the_check(database_url: str, empty: str) -> None:
    connection = await asyncpg.connect(database_url)
    with pytest.raises(StartupError, match="authkit migrate"):
        await check(connection, schema=empty)
    await migrate(database_url, schema=empty)
    await check(connection, schema=empty)
    await connection.close()


async def test_an_edited_file_is_refused(database_url: str, empty: str) -> None:
    await migrate(database_url, schema=empty)
    edited = [replace(shipped()[0], sql=shipped()[0].sql + " "), *shipped()[1:]]
    with pytest.raises(StartupError, match="edited"):
        await migrate(database_url, schema=empty, migrations=edited)


async def test_a_missing_file_is_refused(database_url: str, empty: str) -> None:
    await migrate(database_url, schema=empty)
    with pytest.raises(StartupError, match="missing"):
        await migrate(database_url, schema=empty, migrations=shipped()[1:])


async def test_a_newer_database_is_refused(database_url: str, empty: str) -> None:
    newer = Migration(version=len(shipped()) + 1, name="later", sql="select 1")
    await migrate(database_url, schema=empty, migrations=[*shipped(), newer])
    with pytest.raises(StartupError, match="newer"):
        await migrate(database_url, schema=empty)
    connection = await asyncpg.connect(database_url)
    with pytest.raises(StartupError, match="newer"):
        await check(connection, schema=empty)
    await connection.close()


async def test_a_failing_file_leaves_nothing_behind(database_url: str, empty: str) -> None:
    broken = Migration(
        version=len(shipped()) + 1, name="broken", sql="select no_such_column from profiles.users"
    )
    with pytest.raises(asyncpg.PostgresError):
        await migrate(database_url, schema=empty, migrations=[*shipped(), broken])
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("select to_regclass($1)", f"{empty}.users") is None
    await connection.close()


async def test_a_server_that_is_not_there_is_said_to_be_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        await migrate("postgresql://127.0.0.1:1/none")


@pytest.mark.parametrize("address", [None, ""])
@pytest.mark.parametrize("work", [migrate, pending])
async def test_a_missing_address_names_the_setting(
    work: Callable[[str | None], Awaitable[object]], address: str | None
) -> None:
    with pytest.raises(ConfigError, match="AUTHKIT_DATABASE_URL"):
        await work(address)
