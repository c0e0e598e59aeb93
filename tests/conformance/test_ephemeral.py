"""What every ephemeral store promises, held against each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import redis

from authkit_issuer.ephemeral.memory import MemoryStore
from authkit_issuer.ephemeral.redis import RedisStore
from authkit_issuer.errors import EphemeralStoreUnavailable
from authkit_issuer.ports import EphemeralStore
from fakes.clock import FakeClock


@pytest.fixture(params=["memory", "redis_url", "redis_cluster", "valkey_url"])
def place(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    """The address of a store, and those of the servers that it consists of."""
    if request.param == "memory":
        return "", []
    found = request.getfixturevalue(request.param)
    return (found, [found]) if isinstance(found, str) else (found.url, [node.url for node in found.masters])


@pytest.fixture
async def store(place: tuple[str, list[str]], clock: FakeClock) -> AsyncIterator[EphemeralStore]:
    address, _ = place
    made = await RedisStore.connect(address) if address else MemoryStore(clock)
    yield made
    await made.aclose()


@pytest.fixture
def pass_seconds(place: tuple[str, list[str]], clock: FakeClock) -> Callable[[float], None]:
    """Let time pass for every key. Redis keeps its own clock: there each has so much less to live."""

    def go_on(seconds: float) -> None:
        clock.advance(seconds)
        for address in place[1]:
            with redis.Redis.from_url(address) as client:
                for key in client.scan_iter():
                    client.pexpire(key, client.pttl(key) - round(seconds * 1000))

    return go_on


async def test_a_value_comes_back_until_it_is_deleted(store: EphemeralStore) -> None:
    assert await store.get("k") is None
    assert await store.set("k", b"\x00\xff", 60)
    assert await store.get("k") == b"\x00\xff"
    assert await store.set("k", b"new", 60)
    assert await store.get("k") == b"new"
    assert await store.delete("k")
    assert not await store.delete("k")
    assert await store.get("k") is None


async def test_many_values_come_back_in_the_order_of_their_keys(store: EphemeralStore) -> None:
    for number in range(0, 20, 2):
        await store.set(f"k{number}", b"%d" % number, 60)
    found = await store.get_many([f"k{number}" for number in range(20)])
    assert found == [b"%d" % number if number % 2 == 0 else None for number in range(20)]


async def test_a_value_is_gone_after_its_time(
    store: EphemeralStore, pass_seconds: Callable[[float], None]
) -> None:
    await store.set("k", b"v", 60.5)
    pass_seconds(59)
    assert await store.get("k") == b"v"
    pass_seconds(2)
    assert await store.get("k") is None
    assert await store.take("k") is None
    assert not await store.take_if("k", b"v")
    assert not await store.delete("k")
    assert await store.set("k", b"again", 60, only_if_absent=True)


async def test_only_if_absent_never_replaces(store: EphemeralStore) -> None:
    assert await store.set("k", b"one", 60, only_if_absent=True)
    assert not await store.set("k", b"two", 60, only_if_absent=True)
    assert await store.get("k") == b"one"


async def test_what_is_handed_out_is_not_the_stored_buffer(store: EphemeralStore) -> None:
    buffer = bytearray(b"value")
    await store.set("k", buffer, 60)  # type: ignore[arg-type]
    buffer[:] = b"other"
    assert await store.get("k") == b"value"


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
async def test_a_time_to_live_is_positive(store: EphemeralStore, ttl: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        await store.set("k", b"v", ttl)
    with pytest.raises(ValueError, match="positive"):
        await store.incr("k", ttl)
    assert await store.get("k") is None


async def test_take_has_one_winner_of_fifty(store: EphemeralStore, rounds: Callable[[int], int]) -> None:
    for _ in range(rounds(200)):
        await store.set("k", b"v", 60)
        taken = await asyncio.gather(*(store.take("k") for _ in range(50)))
        assert sorted(value is not None for value in taken) == [False] * 49 + [True]


async def test_take_if_has_one_winner_of_fifty(store: EphemeralStore, rounds: Callable[[int], int]) -> None:
    for _ in range(rounds(200)):
        await store.set("k", b"v", 60)
        taken = await asyncio.gather(*(store.take_if("k", b"v") for _ in range(50)))
        assert taken.count(True) == 1


async def test_take_if_leaves_another_value_alone(store: EphemeralStore) -> None:
    await store.set("k", b"new", 60)
    assert not await store.take_if("k", b"old")
    assert not await store.take_if("k", b"")
    assert not await store.take_if("absent", b"new")
    assert await store.get("k") == b"new"
    assert await store.take_if("k", b"new")


async def test_replace_if_replaces_only_what_it_saw(
    store: EphemeralStore, pass_seconds: Callable[[float], None]
) -> None:
    assert not await store.replace_if("k", b"old", b"new", 60)
    assert await store.get("k") is None
    await store.set("k", b"old", 60)
    assert not await store.replace_if("k", b"other", b"new", 600)
    assert await store.replace_if("k", b"old", b"new", 600)
    pass_seconds(61)
    assert await store.get("k") == b"new"
    with pytest.raises(ValueError, match="positive"):
        await store.replace_if("k", b"new", b"newer", 0)
    assert await store.replace_if("k", b"new", b"newer", 60)
    pass_seconds(61)
    assert await store.get("k") is None


async def test_replace_if_has_one_winner_of_fifty(
    store: EphemeralStore, rounds: Callable[[int], int]
) -> None:
    for _ in range(rounds(200)):
        await store.set("k", b"v", 60)
        won = await asyncio.gather(*(store.replace_if("k", b"v", b"%d" % n, 60) for n in range(50)))
        assert won.count(True) == 1
        assert await store.get("k") == b"%d" % won.index(True)


async def test_incr_counts_every_one_of_fifty(store: EphemeralStore, rounds: Callable[[int], int]) -> None:
    for number in range(rounds(200)):
        counts = await asyncio.gather(*(store.incr(f"c{number}", 60) for _ in range(50)))
        assert sorted(counts) == list(range(1, 51))


async def test_what_is_no_count_is_not_counted(store: EphemeralStore) -> None:
    await store.set("c", b"word", 60)
    with pytest.raises(EphemeralStoreUnavailable):
        await store.incr("c", 60)
    assert await store.get("c") == b"word"


async def test_only_the_first_increment_sets_the_time(
    store: EphemeralStore, pass_seconds: Callable[[float], None]
) -> None:
    assert await store.incr("c", 60) == 1
    assert await store.incr("c", 3600) == 2
    pass_seconds(61)
    assert await store.incr("c", 60) == 1


async def test_a_store_that_answers_says_so(store: EphemeralStore) -> None:
    await store.ping()
    assert store.mode in {"memory", "redis"}


class TestMemory:
    async def test_expired_entries_go_as_new_ones_come(self, clock: FakeClock) -> None:
        store = MemoryStore(clock)
        for number in range(1000):
            await store.set(f"old{number}", b"v", 10)
        clock.advance(11)
        for number in range(500):
            await store.set(f"new{number}", b"v", 10)
        assert len(store) == 500

    async def test_a_full_store_refuses_new_keys_and_keeps_the_live_ones(self, clock: FakeClock) -> None:
        store = MemoryStore(clock, max_entries=10)
        for number in range(10):
            await store.set(f"k{number}", b"v", 10)
        with pytest.raises(EphemeralStoreUnavailable):
            await store.set("one too many", b"v", 10)
        with pytest.raises(EphemeralStoreUnavailable):
            await store.incr("one too many", 10)
        assert await store.set("k3", b"new", 10)
        assert await store.incr("counter", 10) if await store.delete("k4") else False
        clock.advance(11)
        assert await store.set("later", b"v", 10)

    async def test_a_key_written_over_and_over_does_not_grow_the_store(self, clock: FakeClock) -> None:
        store = MemoryStore(clock)
        for _ in range(20_000):
            await store.set("k", b"v", 3600)
        assert len(store) == 1
        assert len(store._ends) < 3000

    async def test_a_key_set_again_outlives_its_first_time(self, clock: FakeClock) -> None:
        store = MemoryStore(clock)
        await store.set("k", b"one", 10)
        await store.set("k", b"two", 100)
        clock.advance(50)
        await store.set("other", b"v", 10)
        assert await store.get("k") == b"two"
