"""One server at a time in memory mode, over a restart of the database too."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

import pytest

from authkit_issuer.config import Config
from authkit_issuer.errors import StartupError
from authkit_issuer.server import memory_mode
from authkit_issuer.server.memory_mode import alone
from authkit_issuer.store.advisory_lock import AdvisoryLock
from fakes import servers

# The view shows the locks of every database of the server, those of tests beside this one too.
HELD = """
    from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and l.granted and d.datname = current_database()
"""
HOLDERS = f"select count(*) {HELD}"
END = f"select pg_terminate_backend(l.pid) {HELD}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_mode, "INTERVAL", 0.01)


async def holders(database_url: str) -> int:
    return int(await servers.on(database_url, lambda connection: connection.fetchval(HOLDERS)))


async def no_claim(database_url: str) -> None:
    """Wait until the place is free."""
    async with asyncio.timeout(30):
        while await holders(database_url):
            await asyncio.sleep(0.01)


async def test_a_second_one_is_refused_until_the_first_has_ended(config: Config) -> None:
    async with alone(config):
        with pytest.raises(StartupError, match="AUTHKIT_REDIS_URL"):
            async with alone(config):
                pytest.fail("two in memory mode")
    async with alone(config):
        pass


async def test_with_redis_any_number_may_run(config: Config, database_url: str) -> None:
    await no_claim(database_url)  # a place is free only once the server has seen its holder go
    shared = dataclasses.replace(config, redis_url="redis://127.0.0.1:1/0")
    async with alone(shared), alone(shared):
        assert await holders(database_url) == 0


async def test_the_place_is_taken_again_after_the_database_was_away(
    config: Config, database_url: str
) -> None:
    async with alone(config):
        await servers.on(database_url, lambda connection: connection.execute(END))
        async with asyncio.timeout(30):
            while await holders(database_url) != 1:
                await asyncio.sleep(0.01)
    await no_claim(database_url)


async def test_a_server_that_was_faster_is_logged_once(
    config: Config, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    lock = AdvisoryLock(database_url, f"authkit memory mode {config.database_schema}")
    with caplog.at_level(logging.ERROR, "authkit.server"):
        async with alone(config):
            async with asyncio.timeout(30):
                while not lock.held:
                    await servers.on(database_url, lambda connection: connection.execute(END))
                    await lock.acquire(timeout=0)
                while not caplog.records:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
    assert [record.getMessage().split()[0] for record in caplog.records] == ["another"]
    await lock.release()
