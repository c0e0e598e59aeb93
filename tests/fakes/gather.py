"""Calls that start at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


async def gather(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Run the calls at once and return their results, or the errors they raised, in order."""
    return await asyncio.gather(*(call() for call in calls), return_exceptions=True)
