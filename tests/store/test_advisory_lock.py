"""A place that one process at a time can hold."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer.errors import ConfigError, DatabaseUnavailable
from authkit_issuer.store.advisory_lock import AdvisoryLock
from fakes import servers

END = "select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' and granted"


async def end_holders(database_url: str) -> None:
    """End the sessions that hold a place, as a restart of the server would."""
    await servers.on(database_url, lambda connection: connection.execute(END))


async def test_a_place_is_held_by_one_and_free_again_when_that_one_leaves(database_url: str) -> None:
    first, second, elsewhere = (AdvisoryLock(database_url, name) for name in ("a", "a", "b"))
    assert await first.take()
    assert first.held
    assert not await second.take(patience=0)
    assert not second.held
    assert await elsewhere.take()
    await first.leave()
    assert not first.held
    assert await second.take()
    await second.leave()
    await elsewhere.leave()


async def test_whoever_lost_the_place_knows_and_may_take_it_again(database_url: str) -> None:
    first, second = AdvisoryLock(database_url, "a"), AdvisoryLock(database_url, "a")
    assert await first.take()
    await end_holders(database_url)
    async with asyncio.timeout(30):
        while first.held:
            await asyncio.sleep(0.01)
    assert await second.take()
    assert not await first.take(patience=0)
    await second.leave()
    assert await first.take()
    await first.leave()


async def test_taking_again_keeps_the_place(database_url: str) -> None:
    place = AdvisoryLock(database_url, "a")
    assert await place.take()
    assert await place.take()
    await place.leave()


@pytest.mark.parametrize(
    ("address", "error"),
    [("postgresql://127.0.0.1:1/x", DatabaseUnavailable), ("mysql://127.0.0.1/x", ConfigError)],
)
async def test_a_database_that_cannot_be_asked_gives_no_place(address: str, error: type[Exception]) -> None:
    place = AdvisoryLock(address, "a")
    with pytest.raises(error):
        await place.take()
    assert not place.held
