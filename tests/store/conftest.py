"""Databases behind a proxy, and a primary with its standby."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from authkit_issuer.store.migrate import migrate
from fakes.patience import let_crowds_wait
from fakes.postgres import DEADLINE, PostgresServer
from fakes.proxy import Proxy
from fakes.servers import on


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd waits as long as a busy machine takes."""
    let_crowds_wait(monkeypatch)


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    """A proxy before the server of the test database."""
    folder = parse_qs(urlsplit(database_url).query)["host"][0]
    made = Proxy(f"{folder}/.s.PGSQL.5432")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def proxied_url(proxy: Proxy, database_url: str) -> str:
    """The address of the test database behind the proxy."""
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/{urlsplit(database_url).path.lstrip('/')}"


async def _replayed(primary: PostgresServer, standby: PostgresServer) -> None:
    """Wait until the standby shows what the primary has committed: commits do not wait for that."""
    written = await on(
        primary.url, lambda connection: connection.fetchval("select pg_current_wal_lsn()::text")
    )
    replayed = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
    async with asyncio.timeout(DEADLINE):
        while not await on(standby.url, lambda connection: connection.fetchval(replayed, written)):
            await asyncio.sleep(0.02)


@pytest.fixture
def primary_and_standby() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Two servers of a test's own, the second following the first; both have the schema."""
    primary = PostgresServer()
    primary.create()
    standby = primary.standby()
    try:
        primary.start()
        standby.start()
        asyncio.run(migrate(primary.url))
        asyncio.run(_replayed(primary, standby))
        yield primary, standby
    finally:
        primary.remove()
        standby.remove()
