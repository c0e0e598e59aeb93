"""What tests of lost connections share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from authkit_issuer.store.postgres import ConnectionStore
from fakes.connection_killer import ConnectionKiller


@pytest.fixture
async def connection_killer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ConnectionKiller]:
    # The look for webhooks would count as a step.
    monkeypatch.setattr("authkit_issuer.domains.webhooks.worker.IDLE", 3600.0)
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
