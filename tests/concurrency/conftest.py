"""What races and tests of lost connections share."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from authkit_issuer.store.connection import ConnectionStore
from authkit_issuer.store.postgres import Pool
from fakes.connection_killer import ConnectionKiller
from fakes.patience import let_crowds_wait
from fakes.soak import SOAK
from fakes.transaction_isolation import default_isolation_of

STRICT = ("repeatable read", "serializable")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a race under each default isolation of the database; a tenth of them outside of a soak."""
    chosen = zlib.crc32(metafunc.function.__name__.encode()) % 10 == 0
    levels = ("", *STRICT) if SOAK or chosen else ("",)
    metafunc.parametrize("default_isolation", levels, indirect=True)


@pytest.fixture(autouse=True)
async def default_isolation(
    request: pytest.FixtureRequest, database_url: str, shared_pool: Pool
) -> AsyncIterator[None]:
    """Give new connections another isolation, unless they ask for one; empty changes nothing."""
    if not request.param:
        yield
        return
    async with default_isolation_of(database_url, request.param):
        await shared_pool.expire_connections()
        yield
    await shared_pool.expire_connections()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, the turn of each in a crowd is not what is tested."""
    let_crowds_wait(monkeypatch)


@pytest.fixture
async def connection_killer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ConnectionKiller]:
    # The look for webhooks would count as a step.
    monkeypatch.setattr("authkit_issuer.domains.webhooks.delivery.IDLE", 3600.0)
    admin = await asyncpg.connect(database_url)
    made = ConnectionKiller(admin)

    def wrap(owner: type, name: str, connection_of: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)

        async def step(self: Any, *args: Any) -> Any:
            return await made.around(connection_of(self), lambda: original(self, *args))

        monkeypatch.setattr(owner, name, step)

    for name in ("fetch", "fetch_one", "execute"):
        wrap(ConnectionStore, name, lambda store: store.connection)
    wrap(asyncpg.transaction.Transaction, "commit", lambda transaction: transaction._connection)
    yield made
    await admin.close()
