"""A Cluster of three masters: every key at its place, and a master that is killed."""

from __future__ import annotations

import asyncio
import time

import pytest

from authkit_issuer.ephemeral.redis import RedisStore
from authkit_issuer.ephemeral.redis.cluster import SLOTS, slot_of
from authkit_issuer.errors import EphemeralStoreUnavailable
from fakes.redis_groups import SOON, RedisCluster, answer_after_fail_over, wait_for


def test_a_key_has_the_slot_that_a_server_computes(redis_cluster: RedisCluster) -> None:
    for key in ("", "auth:k", "{auth}:k", "a{b}c{d}", "a{}b{c}", "a{b", "a}b{c}", "{{a}}", "ä{ö}ü"):
        assert slot_of(key) == redis_cluster.masters[0].ask("CLUSTER", "KEYSLOT", key), key


async def test_keys_go_to_every_master_and_follow_a_slot_that_moves(redis_cluster: RedisCluster) -> None:
    store = await RedisStore.connect(redis_cluster.url)
    for number in range(60):
        await store.set(f"k{number}", b"v", 60)
    assert all(master.ask("DBSIZE") > 5 for master in redis_cluster.masters)
    key = next(f"k{n}" for n in range(60) if slot_of(f"auth:k{n}") < SLOTS // 3)
    slot, (source, target) = slot_of(f"auth:{key}"), redis_cluster.masters[:2]
    ids = [server.ask("CLUSTER", "MYID") for server in (source, target)]
    try:
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        assert await store.get(key) == b"v"
        source.ask("MIGRATE", "127.0.0.1", target.port, f"auth:{key}", 0, 5000)
        assert await store.get(key) == b"v", "the source says ASK"
        assert await store.incr(f"{{auth:{key}}}", 60) == 1
        for server in redis_cluster.masters:
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        assert await store.take(key) == b"v", "the source says MOVED"
        assert await store.take(key) is None
    finally:
        await asyncio.to_thread(redis_cluster.empty)
        for server in redis_cluster.masters:
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[0])
        await store.aclose()


async def test_a_probe_asks_every_master(redis_cluster: RedisCluster) -> None:
    store = await RedisStore.connect(redis_cluster.url)
    await store.ping()
    for master in redis_cluster.masters:
        master.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(EphemeralStoreUnavailable) as refused:
            await store.ping()
        assert refused.value.cause == "full"
        master.ask("CONFIG", "SET", "maxmemory", "0")
    await store.ping()
    await store.aclose()


async def test_any_node_leads_to_the_others(redis_cluster: RedisCluster) -> None:
    dead = "redis+cluster://127.0.0.1:1,"
    for master in redis_cluster.masters:
        store = await RedisStore.connect(f"{dead}127.0.0.1:{master.port}")
        counts = await asyncio.gather(*(store.incr(f"c{number}", 60) for number in range(30)))
        assert set(counts) == {1}
        await store.aclose()
        await asyncio.to_thread(redis_cluster.empty)


async def test_a_killed_master_is_replaced_and_the_others_work_on(replicated_cluster: RedisCluster) -> None:
    cluster = replicated_cluster
    store = await RedisStore.connect(cluster.url)
    keys = [f"k{number}" for number in range(60)]
    await asyncio.gather(*(store.set(key, b"v", 60) for key in keys))
    lost = [key for key in keys if slot_of(f"auth:{key}") < SLOTS // 3]
    others = [key for key in keys if key not in lost]
    await asyncio.to_thread(cluster.masters[0].stop)
    for key in others:
        assert await store.get(key) == b"v"
    known, back = await asyncio.gather(agreed(cluster), works_again(store, lost[0]))
    assert back - known < SOON
    assert [await store.get(key) for key in lost] == [b"v"] * len(lost)
    # The others hear of the new master a moment after it took over.
    await answer_after_fail_over(store.ping)
    await store.aclose()


async def agreed(cluster: RedisCluster) -> float:
    """Return the moment at which the replica of the first master is a master."""
    await asyncio.to_thread(wait_for, lambda: cluster.replicas[0].ask("ROLE")[0] == "master")
    return time.monotonic()


async def works_again(store: RedisStore, key: str) -> float:
    """Return the moment at which the key is readable; until then it is unavailable, never absent."""
    assert await answer_after_fail_over(lambda: store.get(key)) == b"v"
    return time.monotonic()
