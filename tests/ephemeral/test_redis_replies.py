"""Replies that no command of the store has: keys of another program, and servers that are no Redis."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer.ephemeral.redis import RedisStore
from authkit_issuer.errors import EphemeralStoreUnavailable


@pytest.mark.parametrize("address", ["redis_url", "redis_cluster"])
async def test_a_key_that_another_program_wrote_is_unavailable_and_never_reads_as_absent(
    request: pytest.FixtureRequest, address: str
) -> None:
    servers = request.getfixturevalue(address)
    store = await RedisStore.connect(servers if isinstance(servers, str) else servers.url)
    # A list, as no command of ours makes one.
    await store._servers.execute("auth:k", "RPUSH", "auth:k", "another")
    for attempt in (
        store.get("k"),
        store.get_many(["none", "k"]),
        store.take("k"),
        store.take_if("k", b"v"),
        store.replace_if("k", b"v", b"w", 60),
        store.incr("k", 60),
        store.admit("k", 1, 60),
        store.give_back("k", 1, 60),
    ):
        with pytest.raises(EphemeralStoreUnavailable) as refused:
            await attempt
        assert "WRONGTYPE" in refused.value.reason
    assert await store.get_many(["none", "nothing"]) == [None, None]
    await store.aclose()


@pytest.mark.parametrize(
    "reply", [b"*0\r\n", b":7\r\n", b"$1\r\n7\r\n", b"*1\r\n:7\r\n", b"*2\r\n$1\r\n7\r\n:7\r\n"]
)
async def test_a_reply_of_a_type_that_no_redis_sends_is_unavailable(reply: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(10_000):
            writer.write(b"+OK\r\n" if b"SETNAME" in data else reply)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    store = RedisStore(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        fits = {b"$": {"get", "take", "set"}, b":": {"delete", "take_if", "replace_if", "incr"}}.get(
            reply[:1], set()
        )
        for name, arguments in {
            "get": ("k",), "take": ("k",), "set": ("k", b"v", 60), "delete": ("k",), "incr": ("k", 60),
            "take_if": ("k", b"v"), "replace_if": ("k", b"v", b"w", 60), "admit": ("k", 1, 60),
            "get_many": (["k"],),
        }.items():  # fmt: skip
            if name in fits or (name == "get_many" and "get" in fits):
                continue
            with pytest.raises(EphemeralStoreUnavailable) as refused:
                await getattr(store, name)(*arguments)
            assert "another type than expected" in refused.value.reason
        await store.aclose()


async def test_a_key_that_cannot_be_written_gives_no_caller_the_reply_of_another(redis_url: str) -> None:
    store = await RedisStore.connect(redis_url)
    await store.set("a", b"of a", 60)
    await store.set("b", b"of b", 60)
    with pytest.raises(UnicodeEncodeError):
        await store.get("\ud800")
    found = await asyncio.gather(store.get("a"), store.get("b"))
    assert found == [b"of a", b"of b"]
    await store.aclose()
