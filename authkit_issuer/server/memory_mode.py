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
"""Seconds between two looks at a place that a restarted database took away."""

logger = logging.getLogger("authkit.server")


@asynccontextmanager
async def alone(config: Config) -> AsyncGenerator[None, None]:
    """Hold the database's place for a server in memory mode while the block runs.

    Raises ``StartupError`` when another one has it, ``DatabaseUnavailable`` when nobody can say. With Redis
    any number of servers may run.
    """
    if config.redis_url is not None or config.is_production or config.database_url is None:
        yield
        return
    place = AdvisoryLock(config.database_url, f"authkit memory mode {config.database_schema}")
    if not await place.take():
        raise StartupError(
            "Another server without Redis runs on this database; "
            "set AUTHKIT_REDIS_URL for both, or the codes of one are unknown to the other."
        )
    keeper = asyncio.create_task(_keep(place), name="authkit place")
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await place.leave()


async def _keep(place: AdvisoryLock) -> None:
    """Take the place again after the database was away; say once when somebody else was faster."""
    told = False
    while True:
        await asyncio.sleep(INTERVAL)
        if place.held:
            continue
        try:
            taken = await place.take(patience=0)
        except DatabaseUnavailable:
            continue
        if not taken and not told:
            logger.error("another server without Redis took this database; one of the two must stop")
        told = not taken
