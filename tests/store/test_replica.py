"""Lists are read from a replica, decisions from the primary; a replica that is away stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from authkit_issuer.service import Service
from fakes.postgres import PostgresServer
from fakes.servers import free_port, on


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
    async with asyncio.timeout(20):
        while not (await service.admin.list_users()).users or not await service.events.list_session_events(
            ""
        ):
            await asyncio.sleep(0.05)
    await on(standby.url, lambda connection: connection.execute("select pg_wal_replay_pause()"))
    await service.users.create("ben@example.test", "ben_b")
    assert [found.username for found in (await service.admin.list_users()).users] == ["ada_l"]
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
