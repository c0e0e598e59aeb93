"""Waiting for what another thread or task does, where it gives no event."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; ``TimeoutError`` after 30 seconds: a busy machine is slow."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)
