"""What a service opens for itself, and how it lets go of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.ephemeral.memory import MemoryStore
from authkit_issuer.outbox import Outbox
from authkit_issuer.ports import AuthEventLogger, Clock, EphemeralStore
from authkit_issuer.runtime import Background, Runtime
from authkit_issuer.security.hashing import PasswordHasher
from authkit_issuer.security.keys import KeySource
from authkit_issuer.store import migrate, postgres

CLOSE_TIMEOUT = 10.0

logger = logging.getLogger("authkit.keys")


class Resources:
    """What a service opened itself, in order, and how to let go of it."""

    def __init__(self) -> None:
        """Start with nothing opened."""
        self.background = Background()
        self._closers: list[Any] = []
        self._loops: list[asyncio.Task[None]] = []
        self._closed = False

    async def database(self, config: Config, given: postgres.Pool | None) -> postgres.Pool | None:
        """Return the pool, opened here unless the host brought one; the schema is checked either way."""
        pool = given
        if pool is None:
            if config.database_url is None:
                return None
            pool = await postgres.open_pool(
                config.database_url,
                max_size=config.database_pool_size,
                statement_cache=config.database_statement_cache,
            )
            self._closers.append(lambda: _close_pool(pool))
        with postgres.translated():
            async with pool.acquire(timeout=postgres.ACQUIRE_TIMEOUT) as connection:
                await migrate.check(connection, schema=config.database_schema)
        return pool

    async def ephemeral(self, config: Config, given: EphemeralStore | None, clock: Clock) -> EphemeralStore:
        """Return the store for short-lived records; outside of development it must be a shared one."""
        store = given
        if store is None:
            if config.redis_url is not None:
                # The client comes with an extra; who works in memory need not have it.
                from authkit_issuer.ephemeral.redis import RedisStore  # noqa: PLC0415

                store = await RedisStore.connect(config.redis_url, prefix=config.key_prefix)
            else:
                store = MemoryStore(clock=clock)
            self._closers.append(store.aclose)
        if config.is_production and store.mode != "redis":
            raise errors.ConfigError("redis_url is not set; codes must outlive one process in production.")
        return store

    def hasher(self, config: Config) -> PasswordHasher:
        """Start the hashing lanes."""
        hasher = PasswordHasher(config)

        async def close() -> None:
            hasher.close()

        self._closers.append(close)
        return hasher

    def start(self, rt: Runtime, keys: KeySource, sinks: Sequence[AuthEventLogger]) -> Runtime:
        """Start the loops that run beside the requests; returns the Runtime that wakes them."""
        self._loops.append(
            asyncio.create_task(_watch(keys, rt.config.key_reload_interval), name="authkit keys")
        )
        if not sinks or not rt.has_storage:
            return rt
        outbox = Outbox(rt, sinks)
        self._loops.extend(outbox.start())
        self._closers.append(outbox.release)
        return outbox.rt

    async def close(self) -> None:
        """Stop the loops, drain the background, close the rest in reverse order; once."""
        if self._closed:
            return
        self._closed = True
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.background.drain(timeout=CLOSE_TIMEOUT)
        for closer in reversed(self._closers):
            await closer()


async def _watch(keys: KeySource, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        try:
            await keys.refresh()
        except Exception as error:  # noqa: BLE001 - a host's own source may raise anything; look again later
            logger.error("keys not refreshed: %s", type(error).__name__)  # noqa: TRY400


async def _close_pool(pool: postgres.Pool) -> None:
    """Close gracefully, then by force: a query that hangs must not keep the process alive."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await pool.close()
            return
    pool.terminate()
