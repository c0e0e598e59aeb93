"""The migration runner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest

from authkit_issuer.errors import ConfigError, DatabaseUnavailable, StartupError
from authkit_issuer.service import Service
from authkit_issuer.store.migrate import check, migrate, pending
from authkit_issuer.store.migration_files import Migration, shipped
from fakes.patience import PATIENCE

BUILDER = """
    select pid from pg_stat_activity
    where datname = current_database() and query like 'create index concurrently one_idx%'
"""


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


async def test_a_newer_database_is_refused_unless_it_is_marked_as_readable(
    database_url: str, empty: str
) -> None:
    newest = len(shipped())
    marked = Migration(version=newest + 1, name="adds", sql=f"-- readable by: {newest}\nselect 1")
    await migrate(database_url, schema=empty, migrations=[*shipped(), marked])
    connection = await asyncpg.connect(database_url)
    await check(connection, schema=empty)
    assert await migrate(database_url, schema=empty) == []
    assert await pending(database_url, schema=empty) == []
    await connection.close()
    newer = Migration(version=newest + 2, name="later", sql=f"-- readable by: {newest + 1}\nselect 1")
    await migrate(database_url, schema=empty, migrations=[*shipped(), marked, newer])
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


async def test_a_table_of_an_older_program_gets_its_column(database_url: str, empty: str) -> None:
    await migrate(database_url, schema=empty)
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"alter table {empty}.schema_migrations drop column readable_by")
    await check(connection, schema=empty)
    assert await migrate(database_url, schema=empty) == []
    assert await connection.fetchval(f"select count(readable_by) from {empty}.schema_migrations") == 0
    await connection.close()


async def test_an_index_is_built_while_the_table_is_written_and_again_after_an_interruption(
    database_url: str, empty: str
) -> None:
    await migrate(database_url, schema=empty)
    newest = len(shipped())
    first = Migration(version=newest + 1, name="first", sql="create table profiles.one (a int)")
    index = Migration(
        version=newest + 2,
        name="index",
        sql="""
-- readable by: 1
-- outside a transaction
drop index concurrently if exists profiles.one_idx;
create index concurrently one_idx on profiles.one (a);
""",
    )
    last = Migration(version=newest + 3, name="last", sql="create table profiles.two (a int)")
    migrations = [*shipped(), first, index, last]
    await migrate(database_url, schema=empty, migrations=migrations[:-2])
    writer, reader = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute(f"insert into {empty}.one values (1)")
    running = asyncio.create_task(migrate(database_url, schema=empty, migrations=migrations))
    async with asyncio.timeout(PATIENCE):
        while (pid := await reader.fetchval(BUILDER)) is None:
            await asyncio.sleep(0.02)
    await reader.execute("set lock_timeout = '1s'")
    await reader.execute(f"insert into {empty}.one values (2)")  # waits for no index
    await reader.execute("select pg_terminate_backend($1)", pid)
    with pytest.raises(DatabaseUnavailable):
        await running
    await transaction.commit()
    done = await migrate(database_url, schema=empty, migrations=migrations)
    assert [migration.name for migration in done] == ["index", "last"]
    assert await reader.fetchval(
        "select indisvalid from pg_index where indexrelid = $1::text::regclass", f"{empty}.one_idx"
    )
    await writer.close()
    await reader.close()


async def test_traffic_goes_on_while_a_migration_waits_for_a_reader(
    make_service: Callable[..., Awaitable[Service]], empty_database_url: str, rounds: Callable[[int], int]
) -> None:
    await migrate(empty_database_url)
    service = await make_service(database_url=empty_database_url, session_max_per_user=None)
    user = (await service.users.create("ada@example.test", "ada_l")).id
    tokens = [(await service.sessions.issue(user)).refresh_token for _ in range(40)]
    wider = Migration(
        version=len(shipped()) + 1,
        name="wider",
        sql="alter table profiles.refresh_sessions add column later text",
    )
    said: list[str] = []
    reader = await asyncpg.connect(empty_database_url)
    transaction = reader.transaction()
    await transaction.start()
    await reader.fetch("select * from profiles.refresh_sessions")
    running = asyncio.create_task(
        migrate(empty_database_url, migrations=[*shipped(), wider], waiting=said.append)
    )

    async def refresh(number: int, times: int = 1) -> None:
        while times > 0 or not said:
            tokens[number] = (await service.sessions.exchange(tokens[number])).refresh_token
            times -= 1
            await asyncio.sleep(0.5)

    await asyncio.gather(*(refresh(number, max(3, rounds(20))) for number in range(40)))
    assert not running.done()
    assert f"process {reader.get_server_pid()} " in said[0]
    await transaction.rollback()
    assert [migration.name for migration in await running] == ["wider"]
    await refresh(0)
    await reader.close()


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
