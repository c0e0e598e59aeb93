"""Databases behind a proxy, and a primary with its standby."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from authkit_issuer.store.migrate import migrate
from fakes.postgres import PostgresServer
from fakes.proxy import Proxy


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


@pytest.fixture
def primary_and_standby() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Two servers of a test's own, the second following the first, with the schema."""
    primary = PostgresServer()
    primary.create()
    standby = primary.standby()
    try:
        primary.start()
        standby.start()
        asyncio.run(migrate(primary.url))
        yield primary, standby
    finally:
        primary.remove()
        standby.remove()
