"""Lists are read from a replica, decisions from the primary; one that is away or behind stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from authkit_issuer.service import Service
from fakes.ports import free_port
from fakes.postgres import PostgresServer
from fakes.servers import on


async def _listed(service: Service) -> list[str | None]:
    return [found.username for found in (await service.admin.list_users()).users]


async def _pause(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Stop the replay; it goes on for a moment after the request."""
    await connection.execute("select pg_wal_replay_pause()")
    while await connection.fetchval("select pg_get_wal_replay_pause_state()") != "paused":
        await asyncio.sleep(0.01)


async def test_lists_come_from_the_replica_and_decisions_from_the_primary(
    make_service: Callable[..., Awaitable[Service]],
    primary_and_standby: tuple[PostgresServer, PostgresServer],
) -> None:
    primary, standby = primary_and_standby
    service = await make_service(
        pool=None, database_url=primary.url, database_read_url=f"{standby.url}?target_session_attrs=standby"
    )
    user = (await service.users.create("ada@example.test", "ada_l")).id
    assert await service.sessions.issue(user)
    async with asyncio.timeout(60):  # a slow standby is left alone for ten seconds
        while not await _listed(service) or not await service.events.list_session_events(""):
            await asyncio.sleep(0.05)
        await on(standby.url, _pause)
        await service.users.create("ben@example.test", "ben_b")
        while await _listed(service) != ["ada_l"]:
            await asyncio.sleep(0.05)
    assert await service.users.get_by_email("ben@example.test")
    async with service.transaction() as tx:
        assert len((await tx.admin.list_users()).users) == 2


async def test_a_replica_that_is_away_is_replaced_by_the_primary_with_one_line(
    make_service: Callable[..., Awaitable[Service]], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = await make_service(database_read_url=f"postgresql://127.0.0.1:{free_port()}/none")
    await service.users.create("ada@example.test", "ada_l")
    for _ in range(3):
        assert len((await service.admin.list_users()).users) == 1
    lines = [record.getMessage() for record in caplog.records if record.name == "authkit.database"]
    assert len(lines) == 1
    assert "read replica" in lines[0]


@pytest.mark.parametrize(
    "behind", ["select", "create schema profiles; create table profiles.users (id uuid)"]
)
async def test_a_replica_that_lacks_a_migration_is_replaced_by_the_primary_with_one_line(
    make_service: Callable[..., Awaitable[Service]],
    empty_database_url: str,
    caplog: pytest.LogCaptureFixture,
    behind: str,
) -> None:
    await on(empty_database_url, lambda connection: connection.execute(behind))
    service = await make_service(database_read_url=empty_database_url)
    await service.users.create("ada@example.test", "ada_l")
    for _ in range(3):
        assert len((await service.admin.list_users()).users) == 1
    lines = [record.getMessage() for record in caplog.records if record.name == "authkit.database"]
    assert len(lines) == 1
    assert "lacks a migration" in lines[0]
    assert "does not exist" in lines[0]
