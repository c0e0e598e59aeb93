"""A lock that one process at a time can hold."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer.errors import ConfigError, DatabaseUnavailable
from authkit_issuer.store.advisory_lock import AdvisoryLock
from fakes import servers

END = """
    select count(pg_terminate_backend(l.pid)) from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and l.granted and d.datname = current_database()
"""
"""The view shows the locks of every database of the server, those of tests beside this one too."""


async def end_holders(database_url: str) -> None:
    """End the sessions that hold a lock, as a restart of the server would."""
    await servers.on(database_url, lambda connection: connection.execute(END))


async def test_a_lock_is_held_by_one_and_free_again_when_that_one_releases_it(database_url: str) -> None:
    first, second, elsewhere = (AdvisoryLock(database_url, name) for name in ("a", "a", "b"))
    assert await first.acquire()
    assert first.held
    assert not await second.acquire(timeout=0)
    assert not second.held
    assert await elsewhere.acquire()
    await first.release()
    assert not first.held
    assert await second.acquire()
    await second.release()
    await elsewhere.release()


async def test_a_lock_that_was_lost_reads_as_lost_and_can_be_acquired_again(database_url: str) -> None:
    first, second = AdvisoryLock(database_url, "a"), AdvisoryLock(database_url, "a")
    assert await first.acquire()
    await end_holders(database_url)
    async with asyncio.timeout(30):
        while first.held:
            await asyncio.sleep(0.01)
    assert await second.acquire()
    assert not await first.acquire(timeout=0)
    await second.release()
    assert await first.acquire()
    await first.release()


async def test_acquiring_again_keeps_the_lock(database_url: str) -> None:
    lock = AdvisoryLock(database_url, "a")
    assert await lock.acquire()
    assert await lock.acquire()
    await lock.release()


@pytest.mark.parametrize(
    ("address", "error"),
    [("postgresql://127.0.0.1:1/x", DatabaseUnavailable), ("mysql://127.0.0.1/x", ConfigError)],
)
async def test_a_database_that_cannot_be_asked_gives_no_lock(address: str, error: type[Exception]) -> None:
    lock = AdvisoryLock(address, "a")
    with pytest.raises(error):
        await lock.acquire()
    assert not lock.held
