"""One server at a time in memory mode: two would not share codes and counters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from authkit_issuer.config import Config
from authkit_issuer.errors import DatabaseUnavailable, StartupError
from authkit_issuer.store.advisory_lock import AdvisoryLock

INTERVAL = 1.0
"""Seconds between two checks of the lock, which a restart of the database releases."""

logger = logging.getLogger("authkit.server")


@asynccontextmanager
async def alone(config: Config) -> AsyncGenerator[None, None]:
    """Hold the database's lock for servers in memory mode while the block runs.

    With Redis any number of servers may run, and no lock is taken.

    Raises:
        StartupError: another server holds the lock.
        DatabaseUnavailable: the database cannot be reached.
    """
    if config.redis_url is not None or config.is_production or config.database_url is None:
        yield
        return
    lock = AdvisoryLock(config.database_url, f"authkit memory mode {config.database_schema}")
    if not await lock.acquire():
        raise StartupError(
            "Another server without Redis runs on this database; "
            "set AUTHKIT_REDIS_URL for both, so that they share codes and counters."
        )
    keeper = asyncio.create_task(_keep(lock), name="authkit lock")
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await lock.release()


async def _keep(lock: AdvisoryLock) -> None:
    """Acquire the lock again after the database was away; log once when another server holds it."""
    logged = False
    while True:
        await asyncio.sleep(INTERVAL)
        if lock.held:
            continue
        try:
            acquired = await lock.acquire(timeout=0)
        except DatabaseUnavailable:
            continue
        if not acquired and not logged:
            logger.error("another server without Redis took this database; one of the two must stop")
        logged = not acquired
