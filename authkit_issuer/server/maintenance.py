"""Periodic maintenance of a running server.

Every process runs it, without a leader: the statements skip rows that another process has locked.
``Service.maintain`` lists the parts, which the domains own. ``Runtime.purge`` deletes in batches what has
outlived its retention.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from authkit_issuer.errors.causes import cause
from authkit_issuer.service import Service

INTERVAL = 600.0
"""Seconds between two rounds."""

logger = logging.getLogger("authkit.server")


@asynccontextmanager
async def maintained(service: Service) -> AsyncGenerator[None, None]:
    """Run ``service.maintain`` every ten minutes while the block runs."""
    task = asyncio.create_task(_maintain(service), name="authkit maintenance")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _maintain(service: Service) -> None:
    while True:
        try:
            await service.maintain()
        except Exception as error:  # noqa: BLE001 - the next round may succeed
            logger.warning("maintenance did not run: %s", cause(error))
        await asyncio.sleep(INTERVAL)
