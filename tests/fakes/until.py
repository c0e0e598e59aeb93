"""Waiting for what another thread or task does, where it gives no event."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return once the condition holds; ``TimeoutError`` after 30 seconds: a busy machine is slow."""
    async with asyncio.timeout(30):
        while not (await found if isawaitable(found := condition()) else found):
            await asyncio.sleep(0.001)
