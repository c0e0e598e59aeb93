"""Who holds a row for long takes the service from the callers of that row, and from no others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from authkit_issuer.store.lock_waits import PATIENCE, LockWaits

RATE = 20
ONE, TWO = "1" * 36, "2" * 36


async def at_a_rate(seconds: float, call: Callable[[int], Awaitable[object]]) -> tuple[list[float], int]:
    """Return the times of the calls that succeeded, in order, and how many were refused."""
    took: list[float] = []
    refused = 0

    async def one(number: int) -> None:
        nonlocal refused
        began = time.monotonic()
        try:
            await call(number)
            took.append(time.monotonic() - began)
        except errors.DatabaseUnavailable:
            refused += 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(int(RATE * seconds)):
            tasks.create_task(one(number))
            await asyncio.sleep(1 / RATE)
    return sorted(took), refused


async def test_the_locked_row_of_one_user_takes_no_connection_from_the_others(
    make_service: Callable[..., Awaitable[Service]], database_url: str, rounds: Callable[[int], int]
) -> None:
    service = await make_service(pool=None, database_pool_min=16)
    ada = (await service.users.create("ada@example.test", "ada_l")).id
    ben = (await service.users.create("ben@example.test", "ben_b")).id
    seconds = max(4.0, 0.8 * rounds(10))
    usual, refused = await at_a_rate(1, lambda _: service.sessions.issue(ben))
    assert refused == 0
    operator = await asyncpg.connect(database_url)
    async with operator.transaction():
        await operator.execute("select from profiles.users where id = $1::text::uuid for update", ada)
        (_, locked), (took, refused) = await asyncio.gather(
            at_a_rate(seconds, lambda _: service.sessions.issue(ada)),
            at_a_rate(seconds, lambda _: service.sessions.issue(ben)),
        )
    await operator.close()
    assert locked == int(RATE * seconds)
    assert refused == 0
    # Who waits behind the others' lock waits for seconds; less than one is another program's doing.
    assert took[len(took) // 2] < max(2 * usual[-1], 1)
    assert (await service.sessions.issue(ada)).session_id


async def test_a_lock_is_waited_for_no_longer_than_the_setting_says(
    make_service: Callable[..., Awaitable[Service]], database_url: str
) -> None:
    service = await make_service(pool=None, database_lock_timeout=0.4)
    ada = (await service.users.create("ada@example.test", "ada_l")).id
    operator = await asyncpg.connect(database_url)
    async with operator.transaction():
        await operator.execute("lock table profiles.users")
        began = time.monotonic()
        with pytest.raises(errors.DatabaseUnavailable) as refused:
            await service.sessions.issue(ada)
        assert 0.3 < time.monotonic() - began < 60
    assert "lock timeout" in refused.value.reason
    assert (await service.sessions.issue(ada)).session_id
    await operator.close()


def test_a_crowd_that_moves_on_is_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("authkit_issuer.store.lock_waits.time.monotonic", lambda: now)
    waits = LockWaits(most=2)
    keys = [waits.enter((ONE,)) for _ in range(8)]
    for key in keys:
        now += PATIENCE * 0.9
        waits.leave(key, moved=True)
        waits.leave(waits.enter((ONE,)), moved=True)


def test_only_keys_that_wait_are_refused_and_only_when_half_of_the_connections_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("authkit_issuer.store.lock_waits.time.monotonic", lambda: now)
    waits = LockWaits(most=2)
    first = waits.enter((ONE,))
    now += 2 * PATIENCE
    second = waits.enter((ONE,))
    with pytest.raises(errors.DatabaseUnavailable):
        waits.enter((ONE,))
    waits.leave(waits.enter((TWO,)), moved=True)
    waits.leave(first, moved=False)
    waits.leave(second, moved=False)
    waits.leave(waits.enter((ONE,)), moved=True)


def test_only_an_id_is_a_key() -> None:
    waits = LockWaits(most=0)
    for _ in range(3):
        assert waits.enter(("https://issuer.example.test",)) == waits.enter(([ONE],)) == waits.enter(()) == ""
