"""One Redis: what is refused at the start, what happens when it goes, hangs or fills up."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvloop

from authkit_issuer.ephemeral.redis import RedisStore
from authkit_issuer.errors import ConfigError, EphemeralStoreUnavailable, StartupError
from fakes.redis_groups import RedisCluster
from fakes.repository import ROOT
from fakes.servers import RedisServer

PAGE = ROOT / "docs/guides/redis.md"


async def test_prefixes_keep_two_services_apart(redis_url: str) -> None:
    one = await RedisStore.connect(redis_url, prefix="one:")
    two = await RedisStore.connect(redis_url, prefix="two:")
    await one.set("k", b"v", 60)
    assert await two.get("k") is None
    for store in (one, two):
        await store.aclose()


async def test_an_outage_is_said_and_never_reads_as_absent(own_redis: RedisServer) -> None:
    store = await RedisStore.connect(own_redis.url)
    await store.set("k", b"v", 60)
    await asyncio.to_thread(own_redis.stop)
    for attempt in (
        store.get("k"),
        store.get_many(["k", "l"]),
        store.set("k", b"v", 60),
        store.delete("k"),
        store.take("k"),
        store.take_if("k", b"v"),
        store.incr("k", 60),
        store.ping(),
    ):
        with pytest.raises(EphemeralStoreUnavailable):
            await attempt
    await asyncio.to_thread(own_redis.start)
    await store.ping()
    assert await store.get("k") is None
    await store.aclose()


@pytest.mark.parametrize("host", ["h..x", "a" * 70])
async def test_a_name_that_no_host_can_have_is_unavailable(host: str) -> None:
    with pytest.raises(EphemeralStoreUnavailable) as refused:
        await RedisStore.connect(f"redis://{host}/0")
    assert refused.value.reason.endswith("is not the name of a host")


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(EphemeralStoreUnavailable) as refused:
        await RedisStore.connect("redis://127.0.0.1:1/0")
    assert refused.value.reason == "Redis of redis_url: 127.0.0.1:1: Connection refused"


class TestStart:
    async def test_a_server_that_forgets_records_is_refused(self, own_redis: RedisServer) -> None:
        own_redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        with pytest.raises(StartupError, match="noeviction"):
            await RedisStore.connect(own_redis.url)

    async def test_a_server_that_hides_its_policy_is_used_with_a_warning(
        self, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        await asyncio.to_thread(own_redis.restart, "--rename-command", "CONFIG", "")
        store = await RedisStore.connect(own_redis.url)
        assert "maxmemory-policy" in caplog.text
        await store.aclose()

    async def test_a_server_that_lacks_getdel_is_refused(self, own_redis: RedisServer) -> None:
        await asyncio.to_thread(own_redis.restart, "--rename-command", "GETDEL", "")
        with pytest.raises(StartupError, match=r"6\.2"):
            await RedisStore.connect(own_redis.url)

    async def test_a_user_who_may_not_use_our_keys_is_refused(self, own_redis: RedisServer) -> None:
        await asyncio.to_thread(own_redis.restart, "--user", "default", "on", "nopass", "~other:*", "+@all")
        with pytest.raises(StartupError, match="does not let this user"):
            await RedisStore.connect(own_redis.url)

    async def test_a_wrong_password_is_said_without_repeating_it(self, own_redis: RedisServer) -> None:
        await asyncio.to_thread(own_redis.restart, "--requirepass", "right")
        for url in (own_redis.url, own_redis.url.replace("redis://", "redis://:sesame@")):
            with pytest.raises(StartupError, match="password") as refused:
                await RedisStore.connect(url)
            assert "sesame" not in str(refused.value)

    async def test_a_password_that_the_server_does_not_know_is_refused(self, own_redis: RedisServer) -> None:
        with pytest.raises(StartupError, match="password"):
            await RedisStore.connect(own_redis.url.replace("redis://", "redis://u:sesame@"))

    async def test_a_database_that_the_server_does_not_have_is_named(self, own_redis: RedisServer) -> None:
        with pytest.raises(StartupError, match="DB index"):
            await RedisStore.connect(own_redis.url.replace("/0", "/99"))

    @pytest.mark.parametrize("writable", ["yes", "no"])
    async def test_a_replica_is_refused_as_one(
        self, own_redis: RedisServer, redis_url: str, writable: str
    ) -> None:
        own_redis.ask("CONFIG", "SET", "replica-read-only", "no" if writable == "yes" else "yes")
        own_redis.ask("REPLICAOF", "127.0.0.1", port_of(redis_url))
        with pytest.raises(StartupError, match=r"replica.*name its master.*redis\+sentinel://"):
            await RedisStore.connect(own_redis.url)

    async def test_a_node_of_a_cluster_is_refused_as_one(self, redis_cluster: RedisCluster) -> None:
        for node in redis_cluster.masters:
            with pytest.raises(StartupError, match=r"Cluster: write redis\+cluster://"):
                await RedisStore.connect(node.url)

    async def test_a_single_server_is_refused_as_a_cluster(self, own_redis: RedisServer) -> None:
        with pytest.raises(StartupError, match=r"not a Cluster: write redis://"):
            await RedisStore.connect(own_redis.url.replace("redis:", "redis+cluster:"))

    @pytest.mark.parametrize("url", ["", "http://:sesame@h/0", "redis://h:port/0"])
    async def test_an_address_that_is_none_is_not_repeated(self, url: str) -> None:
        with pytest.raises(ConfigError, match="redis_url") as refused:
            await RedisStore.connect(url)
        assert "sesame" not in str(refused.value)

    async def test_a_server_that_speaks_another_protocol_is_unavailable(self) -> None:
        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example.test\r\n")
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            with pytest.raises(EphemeralStoreUnavailable) as refused:
                await RedisStore.connect(f"redis://127.0.0.1:{port}")
        assert "not those of a Redis" in refused.value.reason


class TestForms:
    async def test_a_unix_socket(self, own_redis: RedisServer) -> None:
        path = own_redis.folder / "s"
        await asyncio.to_thread(own_redis.restart, "--unixsocket", str(path))
        store = await RedisStore.connect(f"unix://{path}?db=3")
        assert await store.incr("k", 60) == 1
        await store.aclose()

    @pytest.mark.parametrize("left_out", [(), ("+info", "+role", "+client|setname", "+config|get")])
    async def test_the_user_of_the_page_on_redis_has_every_command_that_is_needed(
        self, own_redis: RedisServer, left_out: tuple[str, ...]
    ) -> None:
        line = re.search(r"^ACL SETUSER authkit .*$", PAGE.read_text(), re.MULTILINE)
        assert line
        words = line[0].replace("PASSWORD", "p/w").split()
        own_redis.ask(*words[:5], *(word for word in words[5:] if word not in left_out))
        store = await RedisStore.connect(own_redis.url.replace("redis://", "redis://authkit:p%2Fw@"))
        assert await store.incr("k", 60) == 1
        assert await store.admit("a", 10, 60) == (True, pytest.approx(6, abs=0.1))
        await store.give_back("a", 10, 60)
        assert await store.take_if("k", b"1")
        assert (await store.inspect()).persistent is (None if left_out else False)
        await store.ping()
        await store.aclose()


def port_of(url: str) -> int:
    """Return the port of another server, to be a replica of."""
    return urlsplit(url).port or 0


async def waiting(store: RedisStore) -> str:
    """Return what a probe says now."""
    try:
        await store.ping()
    except EphemeralStoreUnavailable as error:
        return error.cause
    return "ready"


class TestHalfDead:
    async def test_a_look_at_a_replica_is_forgotten_with_the_next_command(
        self, own_redis: RedisServer, redis_url: str
    ) -> None:
        store = await RedisStore.connect(own_redis.url)
        own_redis.ask("REPLICAOF", "127.0.0.1", port_of(redis_url))
        refused = await asyncio.gather(*(store.incr("c", 60) for _ in range(40)), return_exceptions=True)
        assert all(isinstance(error, EphemeralStoreUnavailable) for error in refused)
        clients = own_redis.ask("CLIENT", "LIST", "TYPE", "normal")
        assert "name=authkit" not in clients, "the connection to the replica is kept"
        own_redis.ask("REPLICAOF", "NO", "ONE")
        assert await store.incr("c", 60) == 1
        await store.aclose()

    async def test_a_probe_finds_a_replica_and_a_full_server(
        self, own_redis: RedisServer, redis_url: str
    ) -> None:
        store = await RedisStore.connect(own_redis.url)
        assert await waiting(store) == "ready"
        own_redis.ask("CONFIG", "SET", "maxmemory", "1")
        assert await waiting(store) == "full"
        own_redis.ask("CONFIG", "SET", "maxmemory", "0")
        assert await waiting(store) == "ready"
        own_redis.ask("REPLICAOF", "127.0.0.1", port_of(redis_url))
        assert await waiting(store) == "read_only"
        own_redis.ask("REPLICAOF", "NO", "ONE")
        assert await waiting(store) == "ready"
        own_redis.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        assert await waiting(store) == "no_replicas"
        await store.aclose()

    async def test_a_server_that_hangs_fails_callers_and_probe_in_time_and_works_again(
        self, own_redis: RedisServer
    ) -> None:
        store = await RedisStore.connect(own_redis.url, timeout=0.5)
        await store.incr("k", 60)
        own_redis.signal(signal.SIGSTOP)
        began = time.monotonic()
        failed = await asyncio.gather(*(store.get("k") for _ in range(100)), return_exceptions=True)
        assert all(isinstance(error, EphemeralStoreUnavailable) for error in failed)
        assert "no reply within 0.5 s" in failed[0].reason  # type: ignore[union-attr]
        assert 0.4 < time.monotonic() - began < 40
        assert await waiting(store) == "unreachable"
        own_redis.signal(signal.SIGCONT)
        assert await store.get("k") == b"1"
        await store.aclose()

    async def test_a_probe_of_a_silent_server_ends_within_its_own_time(self, own_redis: RedisServer) -> None:
        store = await RedisStore.connect(own_redis.url, timeout=3600)
        own_redis.signal(signal.SIGSTOP)
        began = time.monotonic()
        assert await waiting(store) == "unreachable"
        assert time.monotonic() - began > 1.9
        own_redis.signal(signal.SIGCONT)
        await store.aclose()


def test_a_loop_that_stood_still_reads_the_reply_that_came_meanwhile(own_redis: RedisServer) -> None:
    async def stand_still() -> None:
        store = await RedisStore.connect(own_redis.url, timeout=1.0)
        await store.set("k", b"v", 60)
        caller = asyncio.create_task(store.get("k"))
        await asyncio.sleep(0.001)
        time.sleep(1.2)  # noqa: ASYNC251 - what a long collection of garbage does
        assert await caller == b"v"
        caller = asyncio.create_task(store.get("k"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(1.2)  # noqa: ASYNC251 - as above
        assert await caller == b"v"
        await store.aclose()

    uvloop.run(stand_still())  # the loop of `authkit serve`


class TestPipeline:
    async def test_a_caller_that_gives_up_breaks_no_other_answer(self, redis_url: str) -> None:
        store = await RedisStore.connect(redis_url)
        await store.set("k", b"mine", 60)
        for number in range(200):
            impatient = asyncio.create_task(store.get("k"))
            await asyncio.sleep(0)
            impatient.cancel()
            assert await store.incr(f"c{number}", 60) == 1
        await store.aclose()

    async def test_hundreds_of_callers_share_one_connection(self, own_redis: RedisServer) -> None:
        store = await RedisStore.connect(own_redis.url)
        counts = await asyncio.gather(*(store.incr("c", 60) for _ in range(500)))
        assert sorted(counts) == list(range(1, 501))
        assert own_redis.ask("CLIENT", "LIST", "TYPE", "normal").count("name=authkit") == 1
        await store.aclose()

    async def test_the_caller_that_opens_the_connection_may_give_up(self, own_redis: RedisServer) -> None:
        store = RedisStore(own_redis.url)
        first = asyncio.create_task(store.incr("c", 60))
        others = [asyncio.create_task(store.incr("c", 60)) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()
        assert sorted(await asyncio.gather(*others)) == [1, 2, 3, 4, 5]
        await store.aclose()

    async def test_failures_that_no_caller_waits_for_are_not_logged(
        self, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "asyncio")
        store = await RedisStore.connect(own_redis.url)
        own_redis.signal(signal.SIGSTOP)
        waiting = [asyncio.create_task(store.get("k")) for _ in range(5)]
        await asyncio.sleep(0.01)
        for caller in waiting:
            caller.cancel()
        await asyncio.to_thread(own_redis.stop)
        await asyncio.gather(*waiting, return_exceptions=True)
        abandoned = asyncio.create_task(RedisStore(own_redis.url).get("k"))
        await asyncio.sleep(0)
        abandoned.cancel()
        await asyncio.gather(abandoned, return_exceptions=True)
        await asyncio.sleep(0.05)
        await store.aclose()
        assert "never retrieved" not in caplog.text

    async def test_an_answer_in_pieces_and_a_large_one(self, redis_url: str) -> None:
        store = await RedisStore.connect(redis_url)
        value = bytes(range(256)) * 20_000
        await store.set("large", value, 60)
        assert await asyncio.gather(store.get("large"), store.get("none"), store.get("large")) == [
            value, None, value,
        ]  # fmt: skip
        await store.aclose()


async def test_tls_is_verified_against_the_given_authority(own_redis: RedisServer, tmp_path: Path) -> None:
    import ipaddress
    import ssl

    from cryptography import x509

    from fakes.certificates import private_ca

    pem = private_ca(tmp_path / "ca.pem", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", own_redis.port)

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
            target.close()

        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        store = await RedisStore.connect(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={pem}")
        assert await store.incr("k", 60) == 1
        await store.aclose()
        for url in (
            f"rediss://127.0.0.1:{port}/0",
            f"rediss://localhost:{port}/0?ssl_ca_certs={pem}",
            f"redis://127.0.0.1:{port}/0",
        ):
            with pytest.raises(EphemeralStoreUnavailable):
                await RedisStore.connect(url, timeout=1)
        await asyncio.sleep(0.05)
