"""An ephemeral store that comes back after a fail-over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from authkit_issuer.errors import EphemeralStoreUnavailable
from fakes.patience import PATIENCE

Answer = TypeVar("Answer")


async def available(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return the first answer of a store; until then it is unavailable, and nothing else."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await ask()
            except EphemeralStoreUnavailable:
                await asyncio.sleep(0.02)
