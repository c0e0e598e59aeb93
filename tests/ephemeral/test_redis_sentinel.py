"""The master that sentinels name: found at the start, and found again after a fail-over."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from authkit_issuer.ephemeral.redis import RedisStore
from authkit_issuer.errors import EphemeralStoreUnavailable, StartupError
from fakes.patience import PATIENCE
from fakes.redis_groups import SOON, SentinelGroup, answer_after_fail_over, wait_for
from fakes.servers import RedisServer


async def works_again(store: RedisStore) -> float:
    """Return the moment at which a command succeeds; all before it must be refused as unavailable."""
    await answer_after_fail_over(lambda: store.incr("again", 60))
    return time.monotonic()


async def agreed(group: SentinelGroup, old: RedisServer) -> float:
    """Return the moment at which the sentinels name another master."""
    await asyncio.to_thread(wait_for, lambda: group.master() is not old)
    return time.monotonic()


async def test_the_store_follows_the_master_that_is_killed(sentinels: SentinelGroup) -> None:
    store = await RedisStore.connect(sentinels.url)
    await store.set("k", b"v", 60)
    old = sentinels.master()
    await asyncio.to_thread(wait_for, lambda: sentinels.servers[1].ask("GET", "auth:k") == "v")
    await asyncio.to_thread(old.stop)
    known, back = await asyncio.gather(agreed(sentinels, old), works_again(store))
    assert back - known < SOON
    assert await store.get("k") == b"v"
    await store.aclose()


async def test_the_store_leaves_a_master_that_hangs_and_does_not_return_to_it(
    sentinels: SentinelGroup,
) -> None:
    store = await RedisStore.connect(sentinels.url, timeout=1)
    old = sentinels.master()
    old.signal(signal.SIGSTOP)
    known, back = await asyncio.gather(agreed(sentinels, old), works_again(store))
    assert back - known < SOON
    old.signal(signal.SIGCONT)
    for _ in range(20):
        await store.incr("c", 60)
    # The old one believes to be the master until the sentinels reach it.
    assert sentinels.master().ask("GET", "auth:c") == "20"
    await store.ping()
    await store.aclose()


async def test_one_dead_sentinel_and_one_that_hangs_delay_nothing(sentinels: SentinelGroup) -> None:
    sentinels.sentinels[1].signal(signal.SIGSTOP)
    async with asyncio.timeout(PATIENCE):  # a fraction of the time that the one that hangs has
        store = await RedisStore.connect(sentinels.url, timeout=3600)
    await store.aclose()
    sentinels.sentinels[1].signal(signal.SIGCONT)
    sentinels.sentinels[0].stop()
    store = await RedisStore.connect(sentinels.url)
    await store.aclose()


async def test_a_name_that_no_sentinel_watches_and_a_sentinel_as_server_are_refused(
    sentinels: SentinelGroup,
) -> None:
    with pytest.raises(StartupError, match="watches no master that is called other"):
        await RedisStore.connect(sentinels.url.replace("mymaster", "other"))
    with pytest.raises(StartupError, match=r"names a sentinel: write redis\+sentinel://"):
        await RedisStore.connect(f"redis://127.0.0.1:{sentinels.sentinels[0].port}")
    for sentinel in sentinels.sentinels:
        sentinel.stop()
    with pytest.raises(EphemeralStoreUnavailable) as refused:
        await RedisStore.connect(sentinels.url)
    assert "Connection refused" in refused.value.reason


async def test_servers_and_sentinels_have_passwords_of_their_own(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path, password="server", sentinel_password="guard") as group:
        store = await RedisStore.connect(group.url)
        await store.ping()
        await store.aclose()
        with pytest.raises(StartupError, match="password"):
            await RedisStore.connect(group.url.replace("=guard", "=wrong"))


async def test_a_master_that_says_its_role_too_late_keeps_no_connection() -> None:
    given_up, ended = asyncio.Event(), asyncio.Event()

    async def guard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            host = b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(port), port)
            writer.write(host if b"SENTINEL" in data else b"+OK\r\n")
        writer.close()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"SETNAME" in await reader.read(1000)
        await asyncio.sleep(0.3)
        writer.write(b"+OK\r\n")
        if b"ROLE" in await reader.read(1000):
            await given_up.wait()
            writer.write(b"*1\r\n$6\r\nmaster\r\n")
            await reader.read()
        writer.close()
        ended.set()

    sentinel = await asyncio.start_server(guard, "127.0.0.1", 0)
    master = await asyncio.start_server(late, "127.0.0.1", 0)
    port = b"%d" % master.sockets[0].getsockname()[1]
    async with sentinel, master:
        url = f"redis+sentinel://127.0.0.1:{sentinel.sockets[0].getsockname()[1]}/mymaster"
        with pytest.raises(EphemeralStoreUnavailable):
            await RedisStore.connect(url, timeout=0.5)
        given_up.set()
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
