"""The rate limit that every ephemeral store keeps: so many at once, then one for each share of the window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from authkit_issuer.ephemeral.memory import MemoryStore
from authkit_issuer.ephemeral.redis import RedisStore
from authkit_issuer.errors import EphemeralStoreUnavailable
from authkit_issuer.ports import EphemeralStore
from fakes.clock import FakeClock
from fakes.servers import RedisServer
from fakes.until import until


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[EphemeralStore]:
    made: EphemeralStore
    if request.param == "memory":
        made = MemoryStore(clock)
    else:
        made = await RedisStore.connect(request.getfixturevalue("redis_url"))
    yield made
    await made.aclose()


async def test_fifty_at_once_are_admitted_up_to_the_limit_and_no_further(store: EphemeralStore) -> None:
    answers = await asyncio.gather(*(store.admit("k", 7, 3600) for _ in range(50)))
    assert sum(admitted for admitted, _ in answers) == 7


async def test_keys_are_counted_apart(store: EphemeralStore) -> None:
    assert await store.admit("one", 1, 60) == (True, pytest.approx(60, abs=30))
    assert (await store.admit("two", 1, 60))[0]
    assert not (await store.admit("one", 1, 60))[0]


async def test_the_time_until_a_key_is_fresh_grows_with_each_call(store: EphemeralStore) -> None:
    found = [await store.admit("k", 4, 100) for _ in range(5)]
    assert [admitted for admitted, _ in found] == [True, True, True, True, False]
    assert [ahead for _, ahead in found] == pytest.approx([25, 50, 75, 100, 100], abs=12)


async def test_a_call_given_back_can_be_made_again_and_no_more(store: EphemeralStore) -> None:
    for _ in range(3):
        await store.admit("k", 3, 3600)
    assert not (await store.admit("k", 3, 3600))[0]
    await store.give_back("k", 3, 3600)
    assert [(await store.admit("k", 3, 3600))[0] for _ in range(2)] == [True, False]


async def test_more_given_back_than_taken_admits_no_more_than_the_limit(store: EphemeralStore) -> None:
    await store.admit("k", 2, 3600)
    for _ in range(5):
        await store.give_back("k", 2, 3600)
    assert [(await store.admit("k", 2, 3600))[0] for _ in range(3)] == [True, True, False]


async def test_a_deleted_key_is_fresh(store: EphemeralStore) -> None:
    await store.admit("k", 1, 100)
    assert await store.delete("k")
    assert not await store.delete("k")
    assert await store.admit("k", 1, 100) == (True, pytest.approx(100, abs=50))


async def test_a_refused_call_does_not_count(store: EphemeralStore) -> None:
    await store.admit("k", 1, 100)
    before = await store.admit("k", 1, 100)
    after = [await store.admit("k", 1, 100) for _ in range(20)][-1]
    assert after == (False, pytest.approx(before[1], abs=50))


@pytest.mark.parametrize(("calls", "window"), [(7, 3600), (3, 1), (1000, 60), (12_000, 60), (1, 604_800)])
async def test_a_limit_that_does_not_divide_its_window_admits_exactly_that_many(
    clock: FakeClock, calls: int, window: float
) -> None:
    store = MemoryStore(clock)
    answers = [await store.admit("k", calls, window) for _ in range(calls + 1)]
    assert [admitted for admitted, _ in answers] == [True] * calls + [False]


async def test_each_share_of_the_window_makes_room_for_one(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    for _ in range(20):
        await store.admit("k", 20, 3600)
    clock.advance(179)
    assert not (await store.admit("k", 20, 3600))[0]
    clock.advance(1)
    assert (await store.admit("k", 20, 3600))[0]
    assert not (await store.admit("k", 20, 3600))[0]
    clock.advance(3600)
    assert sum([(await store.admit("k", 20, 3600))[0] for _ in range(30)]) == 20


async def test_redis_makes_room_as_time_passes(redis_url: str) -> None:
    store, loop = await RedisStore.connect(redis_url), asyncio.get_running_loop()

    async def admitted(key: str) -> bool:
        return (await store.admit(key, 2, 2.0))[0]

    for number in range(10):
        began = loop.time()
        found = [await admitted(f"k{number}") for _ in range(3)]
        if loop.time() - began < 1:  # else the machine paused, and there was room for another one
            break
    assert found == [True, True, False]
    await until(lambda: admitted(f"k{number}"))
    await store.aclose()


async def test_a_lower_limit_takes_hold_of_what_stands(store: EphemeralStore) -> None:
    for _ in range(10):
        await store.admit("k", 10, 86_400)
    _, ahead = await store.admit("k", 10, 60)
    assert ahead == pytest.approx(60, abs=30)


async def test_unauthenticated_clients_cannot_fill_the_space_of_codes(clock: FakeClock) -> None:
    store = MemoryStore(clock, max_entries=10)
    for number in range(100):
        await store.admit(f"k{number}", 1, 3600)
    assert len(store) == 0
    assert await store.set("code", b"1", 60)
    assert not (await store.admit("k99", 1, 3600))[0]
    assert (await store.admit("k0", 1, 3600))[0]


async def test_a_store_that_is_down_admits_no_call(own_redis: RedisServer) -> None:
    store = await RedisStore.connect(own_redis.url)
    own_redis.stop()
    with pytest.raises(EphemeralStoreUnavailable):
        await store.admit("k", 1, 60)
    await store.aclose()


async def test_what_is_no_moment_is_a_store_that_cannot_answer(redis_url: str) -> None:
    store = await RedisStore.connect(redis_url)
    try:
        await store.set("k", b"no moment", 60)
        with pytest.raises(EphemeralStoreUnavailable):
            await store.admit("k", 1, 60)
    finally:
        await store.aclose()
