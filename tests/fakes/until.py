"""Waiting for what another thread, task or process does, where it gives no event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from inspect import isawaitable

from fakes.patience import PATIENCE


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return once the condition holds. Raises ``TimeoutError``."""
    async with asyncio.timeout(PATIENCE):
        while not (await found if isawaitable(found := condition()) else found):
            await asyncio.sleep(0.001)


def wait_until(condition: Callable[[], bool], *passing: type[Exception]) -> None:
    """Return once the condition holds; after an error of a kind that passes it is asked again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(*passing):
            if condition():
                return
        assert time.monotonic() < deadline, "what the test waits for does not come"
        time.sleep(0.01)
