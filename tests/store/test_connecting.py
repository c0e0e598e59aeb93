"""Several hosts, silent hosts and sockets that notice silence."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from authkit_issuer import errors
from authkit_issuer.store.address import Host, hosts
from authkit_issuer.store.connecting import SILENCE, Connector
from authkit_issuer.store.postgres import open_pool
from fakes.patience import PATIENCE
from fakes.proxy import Proxy
from fakes.until import until


@pytest.fixture
def accepted() -> list[asyncio.StreamWriter]:
    """The connections that the silent port accepted."""
    return []


@pytest.fixture
async def silent(accepted: list[asyncio.StreamWriter]) -> AsyncIterator[int]:
    """A port that accepts connections and never says a word."""
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in accepted:
        writer.transport.abort()


@pytest.fixture
def folder(database_url: str) -> str:
    """The folder of the server's unix socket."""
    return parse_qs(urlsplit(database_url).query)["host"][0]


def several(database_url: str, *places: str, **more: str) -> str:
    """Return the address of the test database on other hosts."""
    parts = urlsplit(database_url)
    query = "&".join(f"{name}={value}" for name, value in {"host": ",".join(places), **more}.items())
    return f"postgresql://postgres@/{parts.path.lstrip('/')}?{query}"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://u:p@one:1,two/db", [("one", 1), ("two", None)]),
        ("postgresql://u:p@[::1]:7,one/db", [("::1", 7), ("one", None)]),
        ("postgresql:///db?host=one,two&port=1,2", [("one", 1), ("two", 2)]),
        ("postgresql:///db?host=one,two&port=7", [("one", 7), ("two", 7)]),
        ("postgresql:///db?host=/run/a,/run/b", [("/run/a", None), ("/run/b", None)]),
        ("postgresql://%2Frun%2Fa,two/db", [("/run/a", None), ("two", None)]),
        ("postgresql:///db", []),
    ],
)
def test_the_hosts_of_an_address_are_those_that_libpq_reads(
    address: str, expected: list[tuple[str, int | None]]
) -> None:
    assert hosts(address) == tuple(Host(name=name, port=port) for name, port in expected)


@pytest.mark.parametrize("password", ["/sesame", "12/sesame", "ses/ame", "12#sesame"])
def test_a_password_that_is_not_escaped_is_not_taken_for_host_or_database(password: str) -> None:
    with pytest.raises(errors.ConfigError, match="escape what is special") as refused:
        Connector(f"postgresql://authkit:{password}@host/app")
    assert "ses" not in str(refused.value)


async def test_a_silent_first_host_costs_half_a_second_once(
    database_url: str,
    folder: str,
    silent: int,
    accepted: list[asyncio.StreamWriter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = several(database_url, f"127.0.0.1:{silent}", folder)
    connector = Connector(address, timeout=3600)
    async with asyncio.timeout(PATIENCE):
        began = time.monotonic()
        await (await connector.connect()).close()
        assert time.monotonic() - began > 0.4
        monkeypatch.setattr("authkit_issuer.store.connecting.HEAD_START", 3600.0)
        for _ in range(4):
            connection = await connector.connect()
            assert await connection.fetchval("select 1") == 1
            await connection.close()
    assert len(accepted) == 1


async def test_a_host_that_cannot_be_left_at_once_costs_neither_time_nor_the_connection_to_another(
    database_url: str, folder: str, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, opened = asyncio.Event(), Connector._open

    async def reluctant(self: Connector, where: dict[str, Any], *, cached: bool = False) -> Any:
        try:
            return await opened(self, where, cached=cached)
        except asyncio.CancelledError:
            await released.wait()
            raise

    monkeypatch.setattr(Connector, "_open", reluctant)
    connector = Connector(several(database_url, f"127.0.0.1:{silent}", folder), timeout=60)
    async with asyncio.timeout(30):
        connection = await connector.connect()
    released.set()
    await connection.close()


async def test_hosts_that_are_all_silent_are_an_outage_after_the_time_of_one(
    database_url: str, silent: int, accepted: list[asyncio.StreamWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = several(database_url, *[f"127.0.0.1:{silent}"] * 3)
    monkeypatch.setattr("authkit_issuer.store.connecting.HEAD_START", 0.01)
    asking = asyncio.create_task(open_pool(Connector(address, timeout=3600)))
    await until(lambda: len(accepted) == 3)  # none waits for the time of another
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    with pytest.raises(errors.DatabaseUnavailable) as refused:
        await open_pool(Connector(address, timeout=0.5))
    assert "no answer in time" in refused.value.reason


async def test_the_word_of_a_server_is_the_reason_and_not_the_silence_of_another(
    database_url: str, folder: str, silent: int
) -> None:
    address = several(database_url, f"127.0.0.1:{silent}", folder).replace("/authkit_", "/no_such_", 1)
    with pytest.raises(errors.DatabaseUnavailable) as refused:
        await open_pool(Connector(address, timeout=0.7))
    assert "does not exist" in refused.value.reason


async def test_sockets_notice_a_machine_that_vanished() -> None:
    from authkit_issuer.store.connecting import WatchedConnection

    class Transport:
        def get_extra_info(self, _name: str) -> socket.socket:
            return found

    class Parent(WatchedConnection):
        pass

    with socket.socket() as found, pytest.MonkeyPatch.context() as patched:
        patched.setattr(asyncpg.Connection, "__init__", lambda *_: None)
        patched.setattr(asyncpg.Connection, "__del__", lambda *_: None)
        Parent(None, Transport())
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SILENCE * 1000


async def test_a_server_that_accepts_no_connection_and_answers_meanwhile_keeps_the_old_ones(
    database_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_issuer.store.connecting.PROOF", 0.3)
    connector = Connector(several(database_url, f"127.0.0.1:{proxy.port}"))
    connection = await connector.connect()
    proxy.silent = True
    connector.suspect(lambda: time.monotonic() + 1)
    await asyncio.sleep(0.6)
    assert not connection.is_closed()
    connector.suspect(lambda: 0.0)
    await until(connection.is_closed)
    await connector.close()
