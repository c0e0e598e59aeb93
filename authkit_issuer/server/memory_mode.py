"""One server at a time in memory mode: codes and counters of one would be unknown to another."""

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
    """Hold the database's lock for a server in memory mode while the block runs.

    Raises ``StartupError`` when another server holds it, ``DatabaseUnavailable`` when the database does not
    answer. With Redis any number of servers may run.
    """
    if config.redis_url is not None or config.is_production or config.database_url is None:
        yield
        return
    lock = AdvisoryLock(config.database_url, f"authkit memory mode {config.database_schema}")
    if not await lock.acquire():
        raise StartupError(
            "Another server without Redis runs on this database; "
            "set AUTHKIT_REDIS_URL for both, or the codes of one are unknown to the other."
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
